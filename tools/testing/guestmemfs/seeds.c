// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes the first inputs of the fuzzer (see fuzz.c) into a directory.
 */
#include <stdio.h>
#include <stdlib.h>

#include "image.h"
#include "state.h"

static const struct patch seeds[] = {
	SUPER(version, 2), SUPER(feature_compat, 1), SUPER(feature_ro_compat, 1),
	SUPER(nr_blocks, 1024), SUPER(nr_ranges, 2), SUPER(nr_ranges, 4),
	LIVE(used_inodes, 5), LIVE(used_extents, 3), LIVE(used_maps, 1),
	TABLE(0, entries, 0), TABLE(1, offset, 4096), TABLE(3, entries, 20000),
	TABLE(4, entries, 4000), TABLE(6, entries, 0), TABLE(6, offset, 8 * MIB),
	RANGE(0, base, 0), RANGE(1, size, 2 * GIB), RANGE(2, first_block, 2048),
	INODE(2, parent, 3), INODE(3, mode, S_IFREG), INODE(4, size, U64_MAX),
	INODE(4, flags, 1), INODE(4, name_len, 256), INODE(4, name[0], '/'), INODE(5, mode, 0),
	EXTENT(0, ino, 5), EXTENT(0, logical, GMFS_MAX_LOGICAL - 10), EXTENT(0, count, U32_MAX),
	EXTENT(1, block, 512), EXTENT(1, flags, 0), EXTENT(2, ino, 0),
};

/* Fill, punch, fill again, drop, fill: of three files. */
static const u8 seed_ops[] = {
	2, 0, 0, 80, 5, 0, 4, 3, 6, 0, 0, 90, 8, 0, 0, 0, 10, 0, 1, 20, 2, 0xff, 0, 1,
};

static const char * const parameters[] = {
	"16G", "90%", "0:8G,1:50%", "0:512M,3:1T", "4096k", "1:1G,1:1G", "18446744073709551615",
};

static unsigned int nr_written;

static void write_seed(const char *dir, u8 kind, const void *data, size_t size)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%03u", dir, nr_written++);
	file = fopen(path, "w");
	if (!file || fputc(kind, file) == EOF || fwrite(data, 1, size, file) != size ||
	    fclose(file)) {
		perror(path);
		exit(1);
	}
}

static void write_tables(const char *dir, struct image *m, const struct patch *seed)
{
	u32 at = (u8 *)patch_place(&m->p, seed) - (u8 *)m->p.meta, part = 0, offset;
	u8 data[64] = { sizeof(seed_ops) / 4 };
	__le64 value = cpu_to_le64(seed->value);
	u8 *p = data + 1;

	while (at < m->offset[part] || at >= m->offset[part] + m->size[part])
		part++;
	offset = at - m->offset[part];
	memcpy(p, seed_ops, sizeof(seed_ops));
	p += sizeof(seed_ops);
	*p++ = part;
	*p++ = seed->field.size;
	*p++ = offset & 0xff;
	*p++ = offset >> 8;
	memcpy(p, &value, seed->field.size);
	write_seed(dir, 1, data, p + seed->field.size - data);
}

static void write_handover(const char *dir)
{
	const struct gmfs_range ranges[] = { { 4 * GIB, GIB }, { 8 * GIB, 2 * GIB } };
	size_t size = gmfs_handover_size(2, 3);
	u8 blob[512], uuid[16] = {};

	gmfs_handover_begin(blob, 2, 3);
	gmfs_handover_pool(blob, 0, 0, uuid, MIB, MIB, ranges, 2, 0, 0);
	gmfs_handover_pool(blob, 1, 1, uuid, MIB, MIB, ranges, 1, 2, 0);
	gmfs_handover_end(blob);
	write_seed(dir, 2, blob, size);
	write_seed(dir, 3, blob, size);
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, fmt);
	exit(1);
}

int main(int argc, char **argv)
{
	struct image *m;
	u32 i;

	if (argc != 2) {
		fprintf(stderr, "usage: %s directory\n", argv[0]);
		return 2;
	}
	m = image_make();
	for (i = 0; i < ARRAY_SIZE(seeds); i++)
		write_tables(argv[1], m, &seeds[i]);
	image_free(m);
	write_handover(argv[1]);
	for (i = 0; i < ARRAY_SIZE(parameters); i++)
		write_seed(argv[1], 4, parameters[i], strlen(parameters[i]));
	return 0;
}

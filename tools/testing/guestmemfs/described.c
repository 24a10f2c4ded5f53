// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compares Documentation/filesystems/guestmemfs-format.rst with the code: the document has to have
 * every field with its offset and size, and every complaint with its explanation.
 */
#include <stdio.h>
#include <stdlib.h>

#include "state.h"

#define DOCUMENT	TEST_DIR "/../../../Documentation/filesystems/guestmemfs-format.rst"

struct described {
	const char *record;
	const char *field;
	struct field place;
};

#define DESCRIBED(record, field)	{ #record, #field, FIELD(record, field) }

static const struct described fields[] = {
	DESCRIBED(guestmemfs_handover, magic), DESCRIBED(guestmemfs_handover, version),
	DESCRIBED(guestmemfs_handover, header_size), DESCRIBED(guestmemfs_handover, pool_size),
	DESCRIBED(guestmemfs_handover, range_size), DESCRIBED(guestmemfs_handover, nr_pools),
	DESCRIBED(guestmemfs_handover, nr_ranges), DESCRIBED(guestmemfs_handover, total_size),
	DESCRIBED(guestmemfs_handover, crc), DESCRIBED(guestmemfs_handover, reserved),
	DESCRIBED(guestmemfs_handover_pool, uuid),
	DESCRIBED(guestmemfs_handover_pool, meta_base),
	DESCRIBED(guestmemfs_handover_pool, meta_size), DESCRIBED(guestmemfs_handover_pool, node),
	DESCRIBED(guestmemfs_handover_pool, first_range),
	DESCRIBED(guestmemfs_handover_pool, nr_ranges),
	DESCRIBED(guestmemfs_handover_pool, flags), DESCRIBED(guestmemfs_handover_pool, hops),
	DESCRIBED(guestmemfs_handover_pool, pad), DESCRIBED(guestmemfs_handover_pool, reserved),
	DESCRIBED(guestmemfs_handover_range, base), DESCRIBED(guestmemfs_handover_range, size),
	DESCRIBED(guestmemfs_handover_range, first_block),
	DESCRIBED(guestmemfs_handover_range, reserved),
	DESCRIBED(guestmemfs_super, magic), DESCRIBED(guestmemfs_super, version),
	DESCRIBED(guestmemfs_super, crc), DESCRIBED(guestmemfs_super, feature_compat),
	DESCRIBED(guestmemfs_super, feature_ro_compat),
	DESCRIBED(guestmemfs_super, feature_incompat), DESCRIBED(guestmemfs_super, node),
	DESCRIBED(guestmemfs_super, uuid), DESCRIBED(guestmemfs_super, meta_base),
	DESCRIBED(guestmemfs_super, meta_size), DESCRIBED(guestmemfs_super, block_shift),
	DESCRIBED(guestmemfs_super, nr_blocks), DESCRIBED(guestmemfs_super, nr_ranges),
	DESCRIBED(guestmemfs_super, pad), DESCRIBED(guestmemfs_super, tables),
	DESCRIBED(guestmemfs_super, reserved), DESCRIBED(guestmemfs_super, live),
	DESCRIBED(guestmemfs_super, reserved2),
	DESCRIBED(guestmemfs_table_desc, offset), DESCRIBED(guestmemfs_table_desc, entries),
	DESCRIBED(guestmemfs_table_desc, entry_size),
	DESCRIBED(guestmemfs_super_live, used_inodes),
	DESCRIBED(guestmemfs_super_live, used_extents),
	DESCRIBED(guestmemfs_super_live, used_maps),
	DESCRIBED(guestmemfs_super_live, used_poison), DESCRIBED(guestmemfs_super_live, hops),
	DESCRIBED(guestmemfs_super_live, used_pins), DESCRIBED(guestmemfs_super_live, nr_absent),
	DESCRIBED(guestmemfs_super_live, absent_hop), DESCRIBED(guestmemfs_super_live, reserved),
	DESCRIBED(guestmemfs_range, base), DESCRIBED(guestmemfs_range, size),
	DESCRIBED(guestmemfs_range, first_block), DESCRIBED(guestmemfs_range, flags),
	DESCRIBED(guestmemfs_range, reserved),
	DESCRIBED(guestmemfs_inode, mode), DESCRIBED(guestmemfs_inode, generation),
	DESCRIBED(guestmemfs_inode, parent), DESCRIBED(guestmemfs_inode, flags),
	DESCRIBED(guestmemfs_inode, uid), DESCRIBED(guestmemfs_inode, gid),
	DESCRIBED(guestmemfs_inode, name_len), DESCRIBED(guestmemfs_inode, preserved_access),
	DESCRIBED(guestmemfs_inode, preserved), DESCRIBED(guestmemfs_inode, size),
	DESCRIBED(guestmemfs_inode, atime), DESCRIBED(guestmemfs_inode, mtime),
	DESCRIBED(guestmemfs_inode, ctime), DESCRIBED(guestmemfs_inode, btime),
	DESCRIBED(guestmemfs_inode, atime_nsec), DESCRIBED(guestmemfs_inode, mtime_nsec),
	DESCRIBED(guestmemfs_inode, ctime_nsec), DESCRIBED(guestmemfs_inode, btime_nsec),
	DESCRIBED(guestmemfs_inode, preserved_pos), DESCRIBED(guestmemfs_inode, reserved),
	DESCRIBED(guestmemfs_inode, name),
	DESCRIBED(guestmemfs_extent, logical), DESCRIBED(guestmemfs_extent, ino),
	DESCRIBED(guestmemfs_extent, block), DESCRIBED(guestmemfs_extent, count),
	DESCRIBED(guestmemfs_extent, flags), DESCRIBED(guestmemfs_extent, map),
	DESCRIBED(guestmemfs_extent, reserved),
	DESCRIBED(guestmemfs_map, bits),
	DESCRIBED(guestmemfs_absent, bits), DESCRIBED(guestmemfs_absent, block),
	DESCRIBED(guestmemfs_absent, extent),
	DESCRIBED(guestmemfs_poison, page), DESCRIBED(guestmemfs_poison, flags),
	DESCRIBED(guestmemfs_poison, reserved),
	DESCRIBED(guestmemfs_pin, frame), DESCRIBED(guestmemfs_pin, count),
	DESCRIBED(guestmemfs_pin, ino), DESCRIBED(guestmemfs_pin, reserved),
	DESCRIBED(guestmemfs_fid, uuid), DESCRIBED(guestmemfs_fid, ino),
	DESCRIBED(guestmemfs_fid, generation),
};

/* Reads the next row of a table with offset, size and field. Returns false at the end. */
static bool next_row(FILE *in, char record[64], struct field *place, char field[64])
{
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	while (!found && getline(&line, &room, in) > 0) {
		if (sscanf(line, "struct %63[a-z_]", record) != 1)
			found = sscanf(line, "%u %u %63[a-z0-9_] ", &place->offset, &place->size,
				       field) == 3;
	}
	free(line);
	return found;
}

static void document_has_every_field(const void *arg)
{
	char record[64] = "", field[64] = "";
	FILE *in = fopen(DOCUMENT, "r");
	struct field row;
	u32 i, end = 0;

	(void)arg;
	CHECK(in);
	for (i = 0; next_row(in, record, &row, field); i++) {
		if (i == ARRAY_SIZE(fields))
			FAIL("%s.%s is not known", record, field);
		if (strcmp(record, fields[i].record) || strcmp(field, fields[i].field))
			FAIL("%s.%s where %s.%s should be", record, field, fields[i].record,
			     fields[i].field);
		if (row.offset != fields[i].place.offset || row.size != fields[i].place.size)
			FAIL("%s.%s is at %u with %u bytes", record, field,
			     fields[i].place.offset, fields[i].place.size);
		/* There must be no gap between two fields. */
		CHECK_EQ(row.offset, row.offset ? end : 0);
		end = row.offset + row.size;
	}
	CHECK_EQ(i, ARRAY_SIZE(fields));
	fclose(in);
}

static char *document;

static void expect_complaint(const char *what)
{
	char *quoted;

	CHECK(asprintf(&quoted, "\n\"``%s``\"\n\t", what) > 0);
	if (!strstr(document, quoted))
		FAIL("the document does not have: %s", what);
	free(quoted);
}

static void document_has_every_complaint(const void *arg)
{
	FILE *in = fopen(DOCUMENT, "r");

	(void)arg;
	CHECK(in);
	document = calloc(1, 0x100000);
	CHECK(document && fread(document, 1, 0xfffff, in) && feof(in));
	fclose(in);
	absent_complaints(expect_complaint);
	check_complaints(expect_complaint);
	check_states_complaints(expect_complaint);
	persist_complaints(expect_complaint);
	poison_complaints(expect_complaint);
	format_complaints(expect_complaint);
	resize_complaints(expect_complaint);
	handover_complaints(expect_complaint);
	/* The complaints of load.c, which is not compiled for user space. */
	expect_complaint("another pool's uuid");
	expect_complaint("not the ranges that were handed over");
	free(document);
	document = NULL;
}

void described_tests(void)
{
	TEST(document_has_every_field);
	TEST(document_has_every_complaint);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the output of guestmemfs-dump for the golden image, and for damaged and truncated copies of
 * it. The tests run the program itself, which is in the directory of the test program.
 */
#include <libgen.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "golden.h"
#include "resize.h"
#include "state.h"

struct printed {
	struct pool p;
	struct golden g;
	char *program;
	char *tables;
	char *blob;
};

static void printed_file(const char *path, const u8 *data, size_t size)
{
	FILE *out = fopen(path, "w");

	CHECK(out && fwrite(data, 1, size, out) == size && !fclose(out));
}

static void printed_begin_with(struct printed *t, const char *file)
{
	char self[4096] = "";
	struct gmfs_complaint c;

	memset(t, 0, sizeof(*t));
	CHECK(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	dirname(self);
	CHECK(asprintf(&t->program, "%s/guestmemfs-dump", self) > 0);
	CHECK(asprintf(&t->tables, "%s/dump-tables", self) > 0);
	CHECK(asprintf(&t->blob, "%s/dump-blob", self) > 0);
	golden_load(&t->g, file);
	t->p.meta = t->g.meta;
	t->p.meta_size = t->g.meta_size;
	CHECK_EQ(gmfs_format_open(&t->p.t, t->g.meta, GOLDEN_META_BASE, t->g.meta_size, &c), 0);
	printed_file(t->tables, t->g.meta, t->g.meta_size);
	printed_file(t->blob, t->g.blob, t->g.blob_size);
}

static void printed_begin(struct printed *t)
{
	printed_begin_with(t, GOLDEN_FILE);
}

static void printed_end(struct printed *t)
{
	unlink(t->tables);
	unlink(t->blob);
	free(t->program);
	free(t->tables);
	free(t->blob);
	golden_free(&t->g);
}

/* Runs a shell command and returns its output, which the caller frees. */
static char *printed_by(int status, const char *fmt, ...) __printf(2, 3);
static char *printed_by(int status, const char *fmt, ...)
{
	char *command, *text = calloc(1, 0x10000);
	va_list args;
	FILE *pipe;
	int got;

	va_start(args, fmt);
	CHECK(text && vasprintf(&command, fmt, args) > 0);
	va_end(args);
	pipe = popen(command, "r");
	CHECK(pipe);
	CHECK(fread(text, 1, 0xffff, pipe) < 0xffff);
	got = pclose(pipe);
	if (!WIFEXITED(got) || WEXITSTATUS(got) != status)
		FAIL("%s: status %#x, not of %d; it says: %s", command, got, status, text);
	free(command);
	return text;
}

static void printed_is(char *text, const char *want)
{
	CHECK_STR(text, want);
	free(text);
}

static const char *last_line(char *text)
{
	size_t len = strlen(text);
	char *p;

	CHECK(len && text[len - 1] == '\n');
	text[len - 1] = '\0';
	p = strrchr(text, '\n');
	return p ? p + 1 : text;
}

static void dump_of_golden(const void *arg)
{
	struct printed t;
	char *want;

	(void)arg;
	printed_begin(&t);
	want = printed_by(0, "grep -v '^#' %s", GOLDEN_DUMP);
	printed_is(printed_by(0, "%s %s %s", t.program, t.tables, t.blob), want);
	/* The size of a pipe is not known in advance. */
	printed_is(printed_by(0, "cat %s | %s - %s", t.tables, t.program, t.blob), want);
	free(want);
	printed_end(&t);
}

static void dump_is(const char *image, const char *dump)
{
	struct printed t;
	char *want;

	printed_begin_with(&t, image);
	want = printed_by(0, "grep -v '^#' %s", dump);
	printed_is(printed_by(0, "%s %s %s", t.program, t.tables, t.blob), want);
	free(want);
	printed_end(&t);
}

static void dump_of_golden_states(const void *arg)
{
	(void)arg;
	dump_is(GOLDEN_STATES_FILE, GOLDEN_STATES_DUMP);
}

static void dump_of_golden_absent(const void *arg)
{
	(void)arg;
	dump_is(GOLDEN_ABSENT_FILE, GOLDEN_ABSENT_DUMP);
}

/* The ranges are not in the order of addresses, and the blob has their numbers. */
static void dump_of_resized(const void *arg)
{
	const struct part start[] = { { 128, 8 }, { 144, 8 } };
	struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES];
	size_t size = gmfs_handover_size(1, 3);
	void *blob = malloc(size);
	struct printed t;
	struct pool p;
	char *text;
	u32 nr;

	(void)arg;
	CHECK(blob);
	resize_make(&p, start, 2, 16);
	CHECK_EQ(resize_cut(&p, 129, 1), 0);
	CHECK_EQ(resize_cut(&p, 144, 8), 0);
	CHECK_EQ(resize_add(&p, 64, 8), 0);
	gmfs_resize_ranges(&p.t, ranges, &nr);
	CHECK_EQ(nr, 3);
	gmfs_handover_begin(blob, 1, nr);
	gmfs_handover_pool(blob, 0, 0, (const u8 *)"a pool's sixteen", META_BASE, p.meta_size,
			   ranges, nr, 0, 0, 0);
	gmfs_handover_end(blob);
	printed_begin(&t);
	printed_file(t.tables, p.meta, p.meta_size);
	printed_file(t.blob, blob, size);
	text = printed_by(0, "%s %s %s", t.program, t.tables, t.blob);
	CHECK(strstr(text, "\nrange table, of a pool that was resized\n"
		     "  0   0x400000000-0x407ffffff (128 MiB), blocks 0-63\n"
		     "  1   0x410000000-0x43fffffff (768 MiB), blocks 128-511\n"
		     "  2   0x200000000-0x23fffffff (1024 MiB), blocks 512-1023\n"
		     "blocks\n"
		     "  960 exist, 0 taken, 960 free, at most 512 free in a row\n"
		     "  960 are to be zeroed before use\n"
		     "  numbers below 1024 have been used, the tables have room for 2048\n"));
	CHECK(strstr(text, "\n  range     0x410000000-0x43fffffff (768 MiB), from block 128\n"
		     "  range     0x200000000-0x23fffffff (1024 MiB), from block 512\n"));
	free(text);
	printed_end(&t);
	pool_free(&p);
	free(blob);
}

static void dump_brief(const void *arg)
{
	struct printed t;
	char *text;

	(void)arg;
	printed_begin(&t);
	text = printed_by(0, "%s -b %s", t.program, t.tables);
	CHECK(strstr(text, "\nblocks\n"));
	CHECK(!strstr(text, "inode table") && !strstr(text, "extent table"));
	CHECK_STR(last_line(text), "well formed");
	free(text);
	printed_end(&t);
}

static void dump_unreadable(const void *arg)
{
	struct printed t;
	char *text;

	(void)arg;
	printed_begin(&t);
	text = printed_by(2, "%s /no/such/file 2>&1", t.program);
	printed_is(text, "guestmemfs-dump: cannot read /no/such/file: No such file or directory\n");
	text = printed_by(2, "%s / 2>&1", t.program);
	printed_is(text, "guestmemfs-dump: cannot read /: Is a directory\n");
	text = printed_by(2, "%s %s 2>&1 >/dev/full", t.program, t.tables);
	CHECK(!strncmp(text, "guestmemfs-dump: cannot write", 29));
	free(text);
	free(printed_by(2, "%s 2>&1", t.program));
	free(printed_by(2, "%s -x %s 2>&1", t.program, t.tables));
	printed_end(&t);
}

struct damage {
	const char *name;
	struct patch patch;
	/* A text that must not be printed, and one that must be. */
	const char *hidden;
	const char *shown;
	const char *last;
	bool keep_crc;
};

#define BAD	"not well formed: "
#define INODE_TABLE	"\ninode table\n"

static const struct damage damages[] = {
	{ "magic", SUPER(magic, 0x0a), INODE_TABLE, "\n  magic     ????????\n",
	  BAD "superblock, entry 0: no magic number" },
	{ "version", SUPER(version, 2), INODE_TABLE, "\n  version   2\n",
	  BAD "superblock, entry 0: another version of the format" },
	{ "feature", SUPER(feature_incompat, 16), INODE_TABLE, "incompat 0x10\n",
	  BAD "superblock, entry 0: an incompatible feature" },
	{ "checksum", SUPER(node, 7), NULL, INODE_TABLE,
	  BAD "superblock, entry 0: checksum does not fit", .keep_crc = true },
	{ "table", TABLE(4, offset, 1ULL << 40), INODE_TABLE, "\n  4  extents   at 0x10000000000,",
	  BAD "table list, entry 4: beyond the metadata" },
	{ "later table", TABLE(8, entries, 5), "\n  9  unknown", "\n  8  unknown   at 0, 5 entries",
	  "well formed" },
	{ "range", RANGE(1, size, U64_MAX), NULL, "\nextent table\n",
	  BAD "range table, entry 1: is no range, or out of order" },
	{ "inodes in use", LIVE(used_inodes, U32_MAX), NULL, INODE_TABLE,
	  BAD "superblock, entry 0: more inodes in use than there are, or none" },
	{ "extents in use", LIVE(used_extents, U32_MAX), NULL, "\nextent table\n",
	  BAD "superblock, entry 0: more extents in use than there are" },
	{ "ring", INODE(2, parent, 3), NULL, "\n      .../",
	  BAD "inode table, entry 2: is in a directory below itself" },
	{ "parent", INODE(4, parent, U32_MAX), NULL, "\n      .../ram\n",
	  BAD "inode table, entry 4: directory out of range" },
	{ "name length", INODE(4, name_len, U16_MAX), NULL, "/vms/blue/ram\\000",
	  BAD "inode table, entry 4: impossible name" },
	{ "type", INODE(4, mode, S_IFIFO | 0600), NULL, "\n  4   neither 010600 of",
	  BAD "inode table, entry 4: mode is neither a file's nor a directory's" },
	{ "block", EXTENT(0, block, U32_MAX), NULL, "blocks from 4294967295, nowhere, flags 0x1\n",
	  BAD "extent table, entry 0: has blocks that do not exist" },
	{ "unknown field", EXTENT(0, reserved, 3), NULL, ", flags 0x1, reserved 0x3\n",
	  BAD "extent table, entry 0: in a state that no feature announces" },
	{ "detached", EXTENT(0, flags, GUESTMEMFS_EXTENT_ALLOCATED | GUESTMEMFS_EXTENT_DETACHED),
	  "\n  0   detached", " inode 4, from 0: 100 blocks from 512, at 0x80000000, flags 0x9\n",
	  BAD "extent table, entry 0: is detached and of a file" },
	{ "owner", BITMAP(512, 0), NULL, " 593 taken, 175 free,",
	  BAD "bitmap, entry 512: is free but somebody's" },
};

static void dump_damaged(const void *arg)
{
	const struct damage *d = arg;
	struct state s = { .patch = { d->patch } };
	struct printed t;
	char *text;

	printed_begin(&t);
	state_apply(&t.p, &s);
	if (!d->keep_crc)
		pool_fix_crc(t.g.meta, t.g.meta_size);
	printed_file(t.tables, t.g.meta, t.g.meta_size);
	text = printed_by(strcmp(d->last, "well formed") ? 1 : 0, "%s %s", t.program, t.tables);
	if (!strstr(text, d->shown) || (d->hidden && strstr(text, d->hidden)))
		FAIL("%s", text);
	CHECK_STR(last_line(text), d->last);
	free(text);
	printed_end(&t);
}

/* A file that ends too early is not read beyond its end. */
static void dump_cut_short(const void *arg)
{
	static const u32 sizes[] = { 0, 1, 7, 8, 63, 512, 4095, 4096, 4097, 8192, 16384 + 384 };
	struct printed t;
	char *text;
	u32 i;

	(void)arg;
	printed_begin(&t);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		text = printed_by(1, "head -c %u %s | %s -", sizes[i], t.tables, t.program);
		CHECK(!strncmp(last_line(text), BAD, strlen(BAD)));
		free(text);
		text = printed_by(1, "head -c %u %s | %s -", sizes[i] % 272, t.blob, t.program);
		CHECK(!strncmp(last_line(text), BAD, strlen(BAD)));
		free(text);
	}
	text = printed_by(1, "head -c 4096 %s | %s -", t.tables, t.program);
	CHECK(strstr(text, "8388608 bytes at 0x30000000, 4096 bytes read\n"));
	CHECK_STR(last_line(text), BAD "superblock, entry 0: metadata not where it should be");
	free(text);
	printed_end(&t);
}

static void dump_damaged_blob(const void *arg)
{
	struct printed t;
	char *text;

	(void)arg;
	printed_begin(&t);
	t.g.blob[64 + 40] = 0xff;	/* number of ranges of the first pool */
	printed_file(t.blob, t.g.blob, t.g.blob_size);
	text = printed_by(1, "%s %s %s", t.program, t.tables, t.blob);
	CHECK(strstr(text, "\npool 0\n  has no ranges in this blob\npool 1\n  node      1023\n"));
	CHECK_STR(last_line(text), BAD "it has a broken checksum");
	free(text);
	printed_end(&t);
}

void printed_tests(void)
{
	u32 i;

	TEST(dump_of_golden);
	TEST(dump_of_golden_states);
	TEST(dump_of_golden_absent);
	TEST(dump_of_resized);
	TEST(dump_brief);
	TEST(dump_unreadable);
	for (i = 0; i < ARRAY_SIZE(damages); i++)
		test_add(dump_damaged, &damages[i], "dump: %s", damages[i].name);
	TEST(dump_cut_short);
	TEST(dump_damaged_blob);
}

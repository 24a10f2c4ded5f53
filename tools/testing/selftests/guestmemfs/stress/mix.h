/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_MIX_H
#define _GUESTMEMFS_MIX_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>

#include "kselftest.h"
#include "userfault.h"
#include "util.h"

#define NR_FILES	6
#define BIG		0	/* the file with room for a gigabyte */
#define BIG_GROUP	512U	/* number of its blocks */
#define NEAR		24U	/* blocks that most operations use, so that they overlap */
#define NR_PIECES	20
#define NR_DIRS		2
#define MAX_BAD		8U
#define NR_NAMES	8

/**
 * struct mix_block - the model of a block of a file
 * @there: the block is allocated
 * @phys: physical address, 0 if not known since the allocation
 * @nr_absent: pages that were punched out of it
 * @absent: which they are, NULL if there were none
 * @nr_bad: pages with a memory error
 * @bad: which they are, NULL if there are none
 * @nr_pages: entries of @pages that are used
 * @pages: contents of pages that are not zero, NULL for other pages; NULL if there are none
 */
struct mix_block {
	bool there;
	uint64_t phys;
	unsigned int nr_absent;
	bool *absent;
	unsigned int nr_bad;
	bool *bad;
	unsigned int nr_pages;
	unsigned char **pages;
};

union mix_handle {
	struct file_handle h;
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

/**
 * struct mix_file - the model of a file
 * @exists: it has a name, a descriptor or a mapping
 * @may_link: it was made without a name, and has not got one yet
 * @name: number of the name in @dir, -1 for none
 * @dir: directory
 * @fd: descriptor for reading and writing, -1 if the file is not open
 * @ino: inode number
 * @handle: file handle
 * @size: in bytes
 * @nr_blocks: allocated blocks
 * @max: limit of its blocks in this test
 * @blocks: array of @max blocks
 */
struct mix_file {
	bool exists;
	bool may_link;
	int name;
	int dir;
	int fd;
	ino_t ino;
	union mix_handle handle;
	uint64_t size;
	uint64_t nr_blocks;
	uint64_t max;
	struct mix_block *blocks;
};

/**
 * struct mix_piece - a part of a mapping with one protection
 * @file: the file, NULL if this entry is not used
 * @addr: address of the mapping
 * @off: offset of the first byte in the file
 * @len: length in bytes, a multiple of the page size
 * @prot: PROT_*
 * @huge: part of a mapping in which one entry of 1 GiB would fit
 * @registered: userfaultfd is asked about missing pages
 */
struct mix_piece {
	struct mix_file *file;
	char *addr;
	uint64_t off;
	uint64_t len;
	int prot;
	bool huge;
	bool registered;
};

/* Events that a long run must have met, besides each operation. */
enum mix_event {
	SEEN_END,	/* SIGBUS after the end */
	SEEN_FULL,	/* SIGBUS without a free block */
	SEEN_DENIED,	/* SIGSEGV */
	SEEN_NO_BLOCK,	/* ENOSPC of fallocate() */
	SEEN_NO_INODE,	/* ENOSPC for a new file */
	SEEN_HALF,	/* populating that stopped early */
	SEEN_ORPHAN,	/* an unlinked file freed by its last user */
	SEEN_LIMITED,	/* a refused limit */
	SEEN_BYTES,	/* stored bytes that were read */
	SEEN_GIGABYTE,	/* allocated by one fault */
	SEEN_MOVED,	/* memory that is another file's */
	SEEN_ABSENT,	/* a block that was freed page by page */
	SEEN_MISSING,	/* SIGBUS of a missing page, in a hole or not */
	SEEN_FILLED,	/* a page that was filled, in a block with others that are missing */
	SEEN_BAD,	/* SIGBUS of a page with a memory error */
	SEEN_LOST,	/* a block that the pool has lost */
	SEEN_BAD_MOVED,	/* a page with a memory error that is another file's */
	NR_EVENTS
};

#define LOG_LINES	60
#define LINE_BYTES	200

/**
 * struct mix - the state of a run
 * @standin: use a directory of tmpfs in place of a pool, to test the mixer itself
 * @pool: the mounted pool
 * @block: size of a block in bytes
 * @seed: seed of the run
 * @random: state of the random number generator
 * @nr: number of operations so far
 * @budget: blocks that may be zeroed now, in sixteenths
 * @next_huge: the first operation that may allocate a gigabyte by a fault
 * @uffd: a userfaultfd whose missing pages are a SIGBUS; not open if the kernel has none
 * @files: the files
 * @pieces: the parts of all mappings
 * @letters: first letters of the directories' names
 * @nested: the second directory is in the first one
 * @gone: handle of a file that was freed, of no bytes if there was none
 * @total_blocks: blocks of the pool
 * @total_inodes: inodes of the pool
 * @other_blocks: blocks in use when the run began
 * @other_inodes: inodes in use when the run began
 * @used_blocks: blocks of the files
 * @used_inodes: inodes of files and directories
 * @lost_blocks: blocks that the pool has lost in this run; they count in @other_blocks
 * @max_blocks: limit of the mount, 0 for none
 * @max_inodes: limit of the mount, 0 for none
 * @nr_bad: memory errors so far, of MAX_BAD
 * @bad_every: operations from one to the next at least, 0 for no errors
 * @nr_shadow: number of pages with contents in the model
 * @done: number of operations of each kind
 * @seen: number of events of each kind
 * @log: descriptions of the last operations
 * @why: what is wrong
 */
struct mix {
	bool standin;
	struct pool pool;
	unsigned long block;
	uint64_t seed;
	uint64_t random;
	unsigned long nr;
	long budget;
	unsigned long next_huge;
	struct uffd uffd;
	struct mix_file files[NR_FILES];
	struct mix_piece pieces[NR_PIECES];
	char letters[NR_DIRS];
	bool nested;
	union mix_handle gone;
	uint64_t total_blocks;
	uint64_t total_inodes;
	uint64_t other_blocks;
	uint64_t other_inodes;
	uint64_t used_blocks;
	uint64_t used_inodes;
	uint64_t lost_blocks;
	uint64_t max_blocks;
	uint64_t max_inodes;
	unsigned long nr_bad;
	unsigned long bad_every;
	unsigned long nr_shadow;
	unsigned long done[40];
	unsigned long seen[NR_EVENTS];
	char log[LOG_LINES][LINE_BYTES];
	char why[2 * LINE_BYTES];
};

/* The result of an operation. MIX_SKIPPED: it has found nothing to work on. */
enum mix_result { MIX_SKIPPED, MIX_DONE, MIX_WRONG };

/* mix_test.c */
uint64_t draw(struct mix *m, uint64_t below);
__printf(2, 3) void note(struct mix *m, const char *fmt, ...);
__printf(2, 3) enum mix_result wrong(struct mix *m, const char *fmt, ...);
enum mix_result expect(struct mix *m, int err, int want);
bool affordable(const struct mix *m, uint64_t blocks);
struct mix_file *draw_file(struct mix *m);
struct mix_file *draw_open(struct mix *m);
struct mix_piece *draw_piece(struct mix *m);
uint64_t draw_offset(struct mix *m, const struct mix_file *f);
void draw_range(struct mix *m, const struct mix_file *f, uint64_t *from, uint64_t *to);
void report(struct mix *m);
unsigned int nr_of(const struct mix *m, const struct mix_file *f);

/* mix_model.c */
uint64_t model_left(const struct mix *m);
uint64_t model_inodes_left(const struct mix *m);
uint64_t model_holes(const struct mix *m, const struct mix_file *f, uint64_t from, uint64_t to);
bool model_is_hole(const struct mix *m, const struct mix_file *f, uint64_t at);
void model_fill(struct mix *m, struct mix_file *f, uint64_t from, uint64_t to);
bool model_is_missing(const struct mix *m, const struct mix_file *f, uint64_t at);
void model_fill_page(struct mix *m, struct mix_file *f, uint64_t at);
bool model_is_bad(const struct mix *m, const struct mix_file *f, uint64_t at);
void model_poison(struct mix *m, struct mix_file *f, uint64_t at);
void model_zero(struct mix *m, struct mix_file *f, uint64_t from, uint64_t to);
void model_punch(struct mix *m, struct mix_file *f, uint64_t from, uint64_t to);
void model_resize(struct mix *m, struct mix_file *f, uint64_t size);
void model_store(struct mix *m, struct mix_file *f, uint64_t at, const void *bytes, size_t len);
bool model_has_bytes(const struct mix *m, const struct mix_file *f, uint64_t at);
size_t model_compare(const struct mix *m, const struct mix_file *f, uint64_t at,
		     const void *bytes, size_t len);
uint64_t model_seek(const struct mix *m, const struct mix_file *f, uint64_t at, bool hole);
uint64_t model_find_bytes(const struct mix *m, const struct mix_file *f, uint64_t first);
void model_spoil(struct mix *m);
bool model_is_used(const struct mix *m, const struct mix_file *f);
void model_new(struct mix *m, struct mix_file *f, int fd, int dir, int name);
bool model_reap(struct mix *m, struct mix_file *f);

/* mix_space.c */
enum mix_result check_file(struct mix *m, struct mix_file *f);
enum mix_result check_free(struct mix *m);
enum mix_result check_extents(struct mix *m, struct mix_file *f, int fd);
enum mix_result do_truncate(struct mix *m);
enum mix_result do_allocate(struct mix *m);
enum mix_result do_seek(struct mix *m);
enum mix_result do_stat(struct mix *m);
enum mix_result do_extents(struct mix *m);

/* mix_move.c */
enum mix_result do_move(struct mix *m);

/* mix_map.c */
bool maps_init(struct mix *m);
enum mix_result maps_drop(struct mix *m);
struct mix_piece *piece_new(struct mix *m);
bool has_room(const struct mix *m, int pieces);
void draw_part(struct mix *m, const struct mix_piece *w, uint64_t *from, uint64_t *to);
void piece_split(struct mix *m, struct mix_piece *w, uint64_t from, uint64_t to);
enum mix_result do_map(struct mix *m);
enum mix_result do_unmap(struct mix *m);
enum mix_result do_protect(struct mix *m);
enum mix_result do_remap(struct mix *m);
enum mix_result do_advise(struct mix *m);

/* mix_touch.c */
void touch_init(struct mix *m);
uint64_t end_of_pages(const struct mix_file *f);
bool takes_gigabyte(const struct mix *m, const struct mix_piece *w, uint64_t at);
uint64_t draw_in(struct mix *m, const struct mix_piece *w, uint64_t len);
enum mix_result touch(struct mix *m, struct mix_piece *w, uint64_t at, size_t len,
		      const unsigned char *bytes);
enum mix_result look_at(struct mix *m, struct mix_file *f, uint64_t at);
enum mix_result touch_compare(struct mix *m, struct mix_file *f, uint64_t at, void *p, size_t len);
enum mix_result do_store(struct mix *m);
enum mix_result do_load(struct mix *m);
enum mix_result do_load_block(struct mix *m);

/* mix_fill.c */
void draw_pages(struct mix *m, const struct mix_piece *w, uint64_t *from, uint64_t *to);
bool may_populate(const struct mix *m, const struct mix_piece *w, uint64_t from, uint64_t to);
int populated(struct mix *m, const struct mix_piece *w, uint64_t from, uint64_t to);
bool has_gigabyte(const struct mix *m);
enum mix_result do_populate(struct mix *m);
enum mix_result do_remove(struct mix *m);
enum mix_result do_gigabyte(struct mix *m);

/* mix_userfault.c */
enum mix_result do_register(struct mix *m);
enum mix_result do_unregister(struct mix *m);
enum mix_result do_copy(struct mix *m);

/* mix_poison.c */
enum mix_result do_poison(struct mix *m);

/* mix_name.c */
const char *dir_path(const struct mix *m, int dir);
const char *file_path(const struct mix *m, const struct mix_file *f);
bool names_init(struct mix *m);
enum mix_result do_create(struct mix *m);
enum mix_result do_tmpfile(struct mix *m);
enum mix_result do_link(struct mix *m);
enum mix_result do_unlink(struct mix *m);
enum mix_result do_rename(struct mix *m);
enum mix_result do_exchange(struct mix *m);
enum mix_result do_rename_dir(struct mix *m);
enum mix_result do_close(struct mix *m);
enum mix_result do_open(struct mix *m);
enum mix_result do_stale(struct mix *m);

/* mix_mount.c */
bool mount_init(struct mix *m);
enum mix_result release_all(struct mix *m);
bool mount_unlimit(struct mix *m);
enum mix_result check_owners(struct mix *m);
enum mix_result check_all(struct mix *m);
enum mix_result do_limit(struct mix *m);
enum mix_result do_busy(struct mix *m);
enum mix_result do_mount(struct mix *m);

#endif /* _GUESTMEMFS_MIX_H */

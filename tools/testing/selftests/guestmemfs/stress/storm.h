/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_STORM_H
#define _GUESTMEMFS_STORM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define PAGE_BYTES	4096UL
#define BLOCK_PAGES	512U
#define BLOCK_BYTES	(BLOCK_PAGES * PAGE_BYTES)

#define NR_SHARED	4	/* directories that all workers use */
#define NR_SLOTS	12
#define NR_BLOCKS	4	/* of a file */
#define NR_STAMPS	4	/* of a block, in its pages 0, 170, 340, 510 */
#define STAMP_WORDS	8
#define STAMP_PAGE(i)	(170U * (i))
#define NR_BAD		3	/* pages of a block that may have memory errors: 100, 270, 440 */
#define BAD_PAGE(i)	(170U * (i) + 100)
#define MAX_ERRORS	20U	/* of a worker: each may cost the pool a block */

/* The contents of a block: a hole, zeroes, or stamps with this seed and zeroes elsewhere. */
#define SEED_HOLE	0U
#define SEED_ZEROES	1U

struct block {
	uint32_t seed;
	uint32_t stamps; /* a bit for each stamp */
	uint32_t bad; /* a bit for each page with a memory error */
};

/* A file or directory of a worker. Its slot number stays the same when its name changes. */
struct slot {
	uint32_t mode; /* 0: not used */
	uint32_t parent; /* a shared directory, or NR_SHARED plus the slot of a directory */
	uint32_t name;
	uint32_t pages; /* size in pages */
	struct block blocks[NR_BLOCKS];
};

struct model {
	struct slot slots[NR_SLOTS];
};

enum op_kind {
	OP_CREATE,
	OP_MKDIR,
	OP_UNLINK,
	OP_RMDIR,
	OP_RENAME,
	OP_REPLACE,
	OP_EXCHANGE,
	OP_CHMOD,
	OP_TRUNCATE,
	OP_ALLOC,
	OP_ALLOC_KEEP,
	OP_PUNCH,
	OP_STORE,
	OP_COPY, /* as OP_STORE, by userfaultfd, into a hole */
	OP_SWAP, /* exchanges the two halves of a file */
	OP_POISON, /* a memory error */
	NR_OPS
};

extern const char * const op_names[NR_OPS];

struct op {
	uint32_t kind;
	uint32_t a; /* the slot */
	uint32_t b; /* another slot; OP_STORE, OP_COPY, OP_POISON: the block */
	uint32_t mode;
	uint32_t parent;
	uint32_t name;
	uint32_t first; /* first page; OP_POISON: which of the pages of BAD_PAGE */
	uint32_t last; /* page after the last one; OP_TRUNCATE: size in pages */
	uint32_t seed;
};

#define STATUS_MODEL		1U /* the model that is valid */
#define STATUS_IN_FLIGHT	2U /* a call is changing it to the other model */

/**
 * struct journal - the results that a worker got, in memory that survives a kexec
 * @status: STATUS_*, changed by a single store
 * @frozen: the worker knew, or could have known, that a kexec had begun
 * @serial: counter for names and seeds
 * @errors: memory errors in this kernel
 * @op: the call in flight, or the last call
 * @models: the files before and after @op
 * @wrong: description of a wrong result, an empty string if there was none
 * @done: successful calls, in all kexecs
 * @busy: calls with EBUSY, in all kexecs
 * @late: stores to allocated memory after the freeze, in all kexecs
 * @late_errors: memory errors after the freeze, in all kexecs
 * @waits: faults that did not return after the freeze, in all kexecs
 */
struct journal {
	uint64_t status;
	uint64_t frozen;
	uint32_t serial;
	uint32_t errors;
	struct op op;
	struct model models[2];
	char wrong[200];
	uint64_t done[NR_OPS];
	uint64_t busy[NR_OPS];
	uint64_t late;
	uint64_t late_errors;
	uint64_t waits;
};

/**
 * struct place - the directory in which a worker works
 * @dir: path of the directory
 * @worker: number of the worker, part of all its names
 * @orphan: descriptor of a file that was unlinked while open, -1 for none
 */
struct place {
	const char *dir;
	unsigned int worker;
	int orphan;
};

/* storm_model.c */
bool is_dir(const struct slot *s);
bool has_children(const struct model *m, unsigned int slot);
bool op_writes_bytes(const struct op *op);
bool op_changes_tables(const struct model *m, const struct op *op);
void op_apply(struct model *m, const struct op *op);
int op_perform(struct place *place, const struct model *m, const struct op *op);
void path_of(char *path, const struct place *place, const struct model *m, unsigned int slot);
uint64_t stamp_word(const struct block *b, unsigned int page, unsigned int word);
void catch_sigbus(void);

#define PATH_BYTES	1024

/* storm_verify.c */
bool verify_worker(struct journal *j, struct place *place);
bool verify_tree(const char *dir, struct journal **journals, unsigned int workers);

#endif /* _GUESTMEMFS_STORM_H */

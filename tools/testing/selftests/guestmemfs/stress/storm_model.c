// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls of a worker: their effects on the model, and the calls themselves.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "move.h"
#include "poison.h"
#include "storm.h"
#include "userfault.h"

const char * const op_names[NR_OPS] = {
	[OP_CREATE]	= "create",
	[OP_MKDIR]	= "mkdir",
	[OP_UNLINK]	= "unlink",
	[OP_RMDIR]	= "rmdir",
	[OP_RENAME]	= "rename",
	[OP_REPLACE]	= "replace",
	[OP_EXCHANGE]	= "exchange",
	[OP_CHMOD]	= "chmod",
	[OP_TRUNCATE]	= "truncate",
	[OP_ALLOC]	= "allocate",
	[OP_ALLOC_KEEP]	= "allocate-keep-size",
	[OP_PUNCH]	= "punch",
	[OP_STORE]	= "store",
	[OP_COPY]	= "copy",
	[OP_SWAP]	= "swap",
	[OP_POISON]	= "memory error",
};

bool is_dir(const struct slot *s)
{
	return S_ISDIR(s->mode);
}

bool has_children(const struct model *m, unsigned int slot)
{
	for (int i = 0; i < NR_SLOTS; i++)
		if (m->slots[i].mode && m->slots[i].parent == NR_SHARED + slot)
			return true;
	return false;
}

/* May be done in part when a kexec comes. */
bool op_writes_bytes(const struct op *op)
{
	return op->kind == OP_STORE || op->kind == OP_COPY;
}

/* A store changes the tables if it allocates a block. A memory error is recorded at any time. */
bool op_changes_tables(const struct model *m, const struct op *op)
{
	if (op->kind == OP_POISON)
		return false;
	return !op_writes_bytes(op) || m->slots[op->a].blocks[op->b].seed == SEED_HOLE;
}

/* Punches pages out of a file: whole blocks become holes, parts of blocks are zeroed. */
static void cut_blocks(struct slot *s, uint32_t first, uint32_t last)
{
	for (uint32_t i = 0; i < NR_BLOCKS; i++) {
		struct block *b = &s->blocks[i];
		uint32_t base = i * BLOCK_PAGES;

		if (first <= base && last >= base + BLOCK_PAGES)
			*b = (struct block){};
		for (int k = 0; k < NR_STAMPS; k++)
			if (base + STAMP_PAGE(k) >= first && base + STAMP_PAGE(k) < last)
				b->stamps &= ~(1U << k);
	}
}

static void fill_blocks(struct slot *s, uint32_t first, uint32_t last)
{
	for (uint32_t i = first / BLOCK_PAGES; i * BLOCK_PAGES < last; i++)
		if (s->blocks[i].seed == SEED_HOLE)
			s->blocks[i].seed = SEED_ZEROES;
}

static void store_block(struct slot *s, uint32_t i, uint32_t seed)
{
	s->blocks[i].seed = seed;
	s->blocks[i].stamps = 0;
	for (int k = 0; k < NR_STAMPS; k++)
		if (i * BLOCK_PAGES + STAMP_PAGE(k) < s->pages)
			s->blocks[i].stamps |= 1U << k;
}

static void op_apply_name(struct model *m, const struct op *op)
{
	struct slot *a = &m->slots[op->a], *b = &m->slots[op->b], old = *a;

	switch (op->kind) {
	case OP_CREATE:
	case OP_MKDIR:
		*a = (struct slot){ .mode = op->mode, .parent = op->parent, .name = op->name };
		break;
	case OP_UNLINK:
	case OP_RMDIR:
		*a = (struct slot){};
		break;
	case OP_RENAME:
		a->parent = op->parent;
		a->name = op->name;
		break;
	case OP_REPLACE:
		a->parent = b->parent;
		a->name = b->name;
		*b = (struct slot){};
		break;
	case OP_EXCHANGE:
		a->parent = b->parent;
		a->name = b->name;
		b->parent = old.parent;
		b->name = old.name;
		break;
	}
}

static void swap_halves(struct slot *s)
{
	for (int i = 0; i < NR_BLOCKS / 2; i++) {
		struct block b = s->blocks[i];

		s->blocks[i] = s->blocks[i + NR_BLOCKS / 2];
		s->blocks[i + NR_BLOCKS / 2] = b;
	}
}

/* Changes the model as the call does if it succeeds. */
void op_apply(struct model *m, const struct op *op)
{
	struct slot *a = &m->slots[op->a];

	switch (op->kind) {
	case OP_CHMOD:
		a->mode = op->mode;
		break;
	case OP_TRUNCATE:
		if (op->last < a->pages)
			cut_blocks(a, op->last, UINT32_MAX);
		a->pages = op->last;
		break;
	case OP_ALLOC:
		fill_blocks(a, op->first, op->last);
		if (op->last > a->pages)
			a->pages = op->last;
		break;
	case OP_ALLOC_KEEP:
		fill_blocks(a, op->first, op->last);
		break;
	case OP_PUNCH:
		cut_blocks(a, op->first, op->last);
		break;
	case OP_STORE:
	case OP_COPY:
		store_block(a, op->b, op->seed);
		break;
	case OP_SWAP:
		swap_halves(a);
		break;
	case OP_POISON:
		a->blocks[op->b].bad |= 1U << op->first;
		break;
	default:
		op_apply_name(m, op);
	}
}

static int named(char *path, const struct place *place, uint32_t name)
{
	/* Names have various lengths. */
	return sprintf(path, "/w%u.%u.%0*d", place->worker, name, name * 37 % 200, 0);
}

static void path_in(char *path, const struct place *place, const struct model *m,
		    uint32_t parent, uint32_t name)
{
	uint32_t shared = parent < NR_SHARED ? parent : m->slots[parent - NR_SHARED].parent;

	path += sprintf(path, "%s/d%u", place->dir, shared);
	if (parent >= NR_SHARED)
		path += named(path, place, m->slots[parent - NR_SHARED].name);
	named(path, place, name);
}

void path_of(char *path, const struct place *place, const struct model *m, unsigned int slot)
{
	path_in(path, place, m, m->slots[slot].parent, m->slots[slot].name);
}

/* Returns a word of a block, by its page and its index in the page. */
uint64_t stamp_word(const struct block *b, unsigned int page, unsigned int word)
{
	unsigned int k = page / STAMP_PAGE(1);

	if (word >= STAMP_WORDS || page != STAMP_PAGE(k) || !(b->stamps & 1U << k))
		return 0;
	return ((uint64_t)b->seed << 16 | k << 8 | word) * 0x9e3779b97f4a7c15;
}

static __thread sigjmp_buf fault_return;

static void on_sigbus(int sig)
{
	siglongjmp(fault_return, 1);
}

void catch_sigbus(void)
{
	struct sigaction sa = { .sa_handler = on_sigbus, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &sa, NULL);
}

static int perform_store(const char *path, const struct model *m, const struct op *op)
{
	struct slot s = m->slots[op->a];
	uint64_t *p;
	int fd;

	fd = open(path, O_RDWR);
	if (fd < 0)
		return -errno;
	/* With MAP_NORESERVE, a full pool makes the store fail and not mmap(). */
	p = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		 op->b * BLOCK_BYTES);
	close(fd);
	if (p == MAP_FAILED)
		return -errno;
	if (sigsetjmp(fault_return, 0)) {
		munmap(p, BLOCK_BYTES);
		return -EFAULT;
	}
	store_block(&s, op->b, op->seed);
	for (int k = 0; k < NR_STAMPS; k++)
		for (int i = 0; i < STAMP_WORDS && s.blocks[op->b].stamps & 1U << k; i++)
			p[STAMP_PAGE(k) * (PAGE_BYTES / 8) + i] =
				stamp_word(&s.blocks[op->b], STAMP_PAGE(k), i);
	munmap(p, BLOCK_BYTES);
	return 0;
}

/* Fills the pages with a stamp. The others of the block stay missing. */
static int copy_stamps(struct uffd *u, char *p, const struct block *b)
{
	uint64_t page[PAGE_BYTES / 8] = {};
	int err = 0;

	for (int k = 0; k < NR_STAMPS && !err; k++) {
		if (!(b->stamps & 1U << k))
			continue;
		for (int i = 0; i < STAMP_WORDS; i++)
			page[i] = stamp_word(b, STAMP_PAGE(k), i);
		err = -uffd_copy(u, p + STAMP_PAGE(k) * PAGE_BYTES, page, PAGE_BYTES, NULL);
	}
	return err;
}

static int perform_copy(const char *path, const struct model *m, const struct op *op)
{
	struct slot s = m->slots[op->a];
	struct uffd u;
	int fd, err;
	char *p;

	fd = open(path, O_RDWR);
	if (fd < 0)
		return -errno;
	p = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		 op->b * BLOCK_BYTES);
	err = p == MAP_FAILED ? -errno : 0;
	close(fd);
	if (err)
		return err;
	store_block(&s, op->b, op->seed);
	if (!uffd_open(&u, 0))
		err = -errno;
	else
		err = -uffd_register(&u, p, BLOCK_BYTES, UFFDIO_REGISTER_MODE_MISSING);
	if (!err)
		err = copy_stamps(&u, p, &s.blocks[op->b]);
	uffd_close(&u);
	munmap(p, BLOCK_BYTES);
	return err;
}

static int perform_swap(const char *path)
{
	const uint64_t half = NR_BLOCKS / 2 * BLOCK_BYTES;
	int fd = open(path, O_RDWR), err;

	if (fd < 0)
		return -errno;
	err = -move(fd, 0, fd, half, half, EXCHANGE);
	close(fd);
	return err;
}

static int perform_poison(const char *path, const struct op *op)
{
	int fd = open(path, O_RDWR), err;
	uint64_t phys;

	if (fd < 0)
		return -errno;
	phys = file_phys(fd, (op->b * BLOCK_PAGES + BAD_PAGE(op->first)) * PAGE_BYTES);
	err = phys == UINT64_MAX ? -ENXIO : -poison_frame(phys);
	close(fd);
	return err;
}

static int perform_space(const char *path, const struct op *op)
{
	int mode = 0, fd, err;

	if (op->kind != OP_ALLOC)
		mode = FALLOC_FL_KEEP_SIZE;
	if (op->kind == OP_PUNCH)
		mode |= FALLOC_FL_PUNCH_HOLE;
	fd = open(path, O_RDWR);
	if (fd < 0)
		return -errno;
	err = fallocate(fd, mode, op->first * PAGE_BYTES, (op->last - op->first) * PAGE_BYTES);
	err = err ? -errno : 0;
	close(fd);
	return err;
}

/* Keeps the unlinked file open until the next one is unlinked, so that there always is one. */
static int perform_unlink(struct place *place, const char *path)
{
	int fd = open(path, O_RDWR);

	if (fd < 0 || unlink(path)) {
		int err = -errno;

		close(fd);
		return err;
	}
	close(place->orphan);
	place->orphan = fd;
	return 0;
}

static int perform_create(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR, mode & 07777);

	return fd < 0 ? -errno : close(fd);
}

/* Runs the call. Returns 0 or a negative errno. */
int op_perform(struct place *place, const struct model *m, const struct op *op)
{
	char path[PATH_BYTES], other[PATH_BYTES];

	if (op->kind == OP_CREATE || op->kind == OP_MKDIR)
		path_in(path, place, m, op->parent, op->name);
	else
		path_of(path, place, m, op->a);

	switch (op->kind) {
	case OP_CREATE:
		return perform_create(path, op->mode);
	case OP_MKDIR:
		return mkdir(path, op->mode & 07777) ? -errno : 0;
	case OP_UNLINK:
		return perform_unlink(place, path);
	case OP_RMDIR:
		return rmdir(path) ? -errno : 0;
	case OP_RENAME:
		path_in(other, place, m, op->parent, op->name);
		return renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_NOREPLACE) ? -errno : 0;
	case OP_REPLACE:
		path_of(other, place, m, op->b);
		return rename(path, other) ? -errno : 0;
	case OP_EXCHANGE:
		path_of(other, place, m, op->b);
		return renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE) ? -errno : 0;
	case OP_CHMOD:
		return chmod(path, op->mode & 07777) ? -errno : 0;
	case OP_TRUNCATE:
		return truncate(path, op->last * PAGE_BYTES) ? -errno : 0;
	case OP_STORE:
		return perform_store(path, m, op);
	case OP_COPY:
		return perform_copy(path, m, op);
	case OP_SWAP:
		return perform_swap(path);
	case OP_POISON:
		return perform_poison(path, op);
	default:
		return perform_space(path, op);
	}
}

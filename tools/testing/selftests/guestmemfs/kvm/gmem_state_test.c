// SPDX-License-Identifier: GPL-2.0-only
/*
 * The states of an offset of a file: allocated or not, and private or shared, independent of each
 * other and kept.
 */
#include <linux/fiemap.h>
#include <linux/fs.h>

#include "gmem_fixture.h"

#define NR_PAGES	(6 * BLOCK / PAGE)
#define NR_BLOCKS	(NR_PAGES * PAGE / BLOCK)

/* The expected state of a file of NR_PAGES. */
struct model {
	bool private[NR_PAGES];
	bool absent[NR_PAGES];		/* of allocated blocks */
	bool allocated[NR_BLOCKS];
};

static uint64_t model_state(const struct model *m, unsigned int page)
{
	return (m->private[page] ? PRIVATE : 0) |
	       (m->allocated[page * PAGE / BLOCK] ? ALLOCATED : 0);
}

static unsigned int model_order(const struct model *m, unsigned int page)
{
	unsigned int pages = BLOCK / PAGE, first = page - page % pages, i;

	for (i = 0; i < pages; i++)
		if (m->private[first + i] != m->private[page] || m->absent[first + i])
			return ORDER_4K;
	return m->allocated[page / pages] ? ORDER_2M : ORDER_4K;
}

/* Returns the first page with another state than the model, or -1. */
static long first_wrong(int fd, const struct model *m)
{
	struct guestmemfs_get_state s;
	unsigned int page, i;

	for (page = 0; page < NR_PAGES; page += s.length / PAGE) {
		if (gmem_get_state(fd, page * PAGE, &s) || !s.length || s.length % PAGE ||
		    s.length > (NR_PAGES - page) * PAGE || s.order != model_order(m, page))
			return page;
		for (i = page; i < page + s.length / PAGE; i++)
			if (s.state != model_state(m, i))
				return i;
	}
	return -1;
}

/* Punches pages of a block, or all of it. With its last page a block is free. */
static void model_punch(struct model *m, unsigned int block, unsigned int first, unsigned int last)
{
	unsigned int start = block * BLOCK / PAGE, end = start + BLOCK / PAGE, page;
	bool left = false;

	if (!m->allocated[block])
		return;
	for (page = start; page < end; page++) {
		m->absent[page] |= page >= first && page < last;
		left |= !m->absent[page];
	}
	m->allocated[block] = left;
	if (!left)
		memset(m->absent + start, 0, BLOCK / PAGE);
}

/* Does a random operation on a part of the file and on the model. Returns an errno. */
static int happen(unsigned int *random, int fd, int gmem, struct model *m)
{
	unsigned int first = next_random(random) % NR_PAGES, i;
	unsigned int last = first + 1 + next_random(random) % (NR_PAGES - first);
	unsigned int from = first * PAGE / BLOCK, to = last * PAGE / BLOCK;
	unsigned int what = next_random(random) % 8;

	/* Prefer a few pages, or whole blocks. */
	if (next_random(random) % 2 && last > first + 3) {
		last = first + 3;
	} else if (next_random(random) % 2 && from < to) {
		first = from * BLOCK / PAGE;
		last = to * BLOCK / PAGE;
	}
	from = first * PAGE / BLOCK;
	switch (what) {
	case 0:
		to = (last * PAGE + BLOCK - 1) / BLOCK;
		for (i = from; i < to; i++)
			m->allocated[i] = true;
		memset(m->absent + first, 0, last - first);
		return ERR(fallocate(fd, 0, first * PAGE, (last - first) * PAGE));
	case 1:
		for (i = from; i * BLOCK < last * PAGE; i++)
			model_punch(m, i, first, last);
		return ERR(fallocate(fd, PUNCH, first * PAGE, (last - first) * PAGE));
	default:
		for (i = first; i < last; i++)
			m->private[i] = what % 2;
		return ERR(gmem_convert(gmem, first * PAGE, (last - first) * PAGE,
					what % 2 ? GMEM_PRIVATE : GMEM_SHARED));
	}
}

TEST_F(gmem, random_conversions)
{
	int fd = file_make(&self->p, "ram", NR_PAGES * PAGE), i;
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	unsigned int random = 2463534242U;
	struct model m = {};

	ASSERT_GE(gmem, 0);
	memset(m.private, variant->protected, sizeof(m.private));
	ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, NR_PAGES * PAGE, gmem, 0));
	for (i = 0; i < 500; i++) {
		ASSERT_EQ(0, happen(&random, fd, gmem, &m));
		ASSERT_EQ(-1, first_wrong(fd, &m))
			TH_LOG("step %d, page %ld", i, first_wrong(fd, &m));
	}
	/* The states are kept when the file is closed, and over a mount. */
	ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
	close(gmem);
	close(fd);
	ASSERT_EQ(0, pool_remount(&self->p));
	fd = open(pool_path(&self->p, "ram"), O_RDWR);
	EXPECT_EQ(-1, first_wrong(fd, &m));
	EXPECT_EQ(EEXIST, ERR(gmem_create(fd, self->vmm.vm, variant->flags ^ INIT_SHARED)));
	gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	ASSERT_GE(gmem, 0);
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, happen(&random, fd, gmem, &m));
	EXPECT_EQ(-1, first_wrong(gmem, &m));
	close(fd);
	close(gmem);
	/* A new file in the same inode has no states of the old one. */
	ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
	fd = file_make(&self->p, "ram", NR_PAGES * PAGE);
	memset(&m, 0, sizeof(m));
	EXPECT_EQ(-1, first_wrong(fd, &m));
	EXPECT_LE(0, gmem_create(fd, self->vmm.vm, variant->flags ^ INIT_SHARED));
}

/*
 * The host can fault in shared pages, and no private ones. Without pins, no page is ever being
 * truncated: holes are unmapped and freed at once.
 */
TEST_F(gmem, rows)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK);
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	const uint64_t character = variant->state;
	char *p = map_file(fd, 0, 2 * BLOCK);
	int pass;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, 2 * BLOCK, gmem, 0));
	for (pass = 0; pass < 2; pass++) {
		/* The state at first and after a truncation is not allocated, shared or private. */
		EXPECT_EQ(character, gmem_state(fd, 0));
		EXPECT_EQ(0, file_sectors(fd));
		/* Truncating unallocated pages changes nothing. */
		EXPECT_EQ(0, fallocate(fd, PUNCH, 0, 2 * BLOCK));
		EXPECT_EQ(character, gmem_state(fd, 0));
		/* A fault by the host allocates shared pages only. */
		EXPECT_EQ(character ? FAULT(SIGBUS) : 0, peek(p));
		EXPECT_EQ(character ? 0 : BLOCK_SECTORS, file_sectors(fd));
		/* A fault by the guest allocates pages of the kind that it can access. */
		EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA + 8));
		EXPECT_EQ(character | ALLOCATED, gmem_state(fd, 0));
		EXPECT_EQ(character, gmem_state(fd, BLOCK));
		EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA, 0x55));
		EXPECT_EQ(character ? FAULT(SIGBUS) : 0x55, peek(p));
		EXPECT_EQ(self->p.free_blocks - 1, pool_free_blocks(&self->p));
		/* A block that host and guest have mapped is freed at once, and keeps its kind. */
		EXPECT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
		EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	}
	/* The same for a block of both kinds. */
	ASSERT_EQ(0, gmem_convert(gmem, PAGE, PAGE, character ? GMEM_SHARED : GMEM_PRIVATE));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(character, gmem_state(fd, 0));
	EXPECT_EQ(character ^ PRIVATE, gmem_state(fd, PAGE));
	EXPECT_EQ(character ? FAULT(SIGBUS) : 0, peek(p));
	EXPECT_EQ(character ? 0 : FAULT(SIGBUS), peek(p + PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ((character ^ PRIVATE) | ALLOCATED, gmem_state(fd, PAGE));
	EXPECT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	EXPECT_EQ(character ^ PRIVATE, gmem_state(fd, PAGE));
	/* Release the file before its slot: its blocks are freed with the slot. */
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + BLOCK, 1));
	EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA));
	EXPECT_EQ(self->p.free_blocks - 2, pool_free_blocks(&self->p));
	ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
	close(fd);
	close(gmem);
	munmap(p, 2 * BLOCK);
	EXPECT_EQ(self->p.free_blocks - 2, pool_free_blocks(&self->p));
	EXPECT_EQ(1, guest_load(&self->cpu, FILE_GPA + BLOCK));
	ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

/* The private contents of a file are zeroed before another file gets the block. */
TEST_F(gmem, private_is_zeroed)
{
	const size_t all = self->p.free_blocks, some = all < 64 ? all : 64;
	int fd = file_make(&self->p, "ram", some * BLOCK), bad = 0;
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	char *p;
	size_t i;

	ASSERT_GE(gmem, 0);
	ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, some * BLOCK, gmem, 0));
	ASSERT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA, some * BLOCK, 0x5ec3e7));
	ASSERT_EQ(0, gmem_convert(gmem, 0, some * BLOCK, GMEM_PRIVATE));
	ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
	close(gmem);
	close(fd);
	ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
	fd = file_make(&self->p, "next", all * BLOCK);
	p = map_file(fd, 0, all * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < all; i++)
		bad += !is_zero(p + i * BLOCK, BLOCK);
	EXPECT_EQ(0, bad);
}

/* Populating a mapping of the file or of a descriptor stops at a private page. */
TEST_F(gmem, populated)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK);
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags), i;
	char *maps[2];

	ASSERT_GE(gmem, 0);
	ASSERT_EQ(0, gmem_convert(gmem, 0, 4 * BLOCK, GMEM_SHARED));
	ASSERT_EQ(0, gmem_convert(gmem, 2 * BLOCK + PAGE, PAGE, GMEM_PRIVATE));
	maps[0] = map_file(fd, 0, 4 * BLOCK);
	maps[1] = map_file(gmem, 0, 4 * BLOCK);
	for (i = 0; i < 2; i++) {
		ASSERT_NE(MAP_FAILED, maps[i]);
		EXPECT_EQ(0, ERR(madvise(maps[i], BLOCK, MADV_POPULATE_WRITE)));
		EXPECT_EQ(EFAULT, ERR(madvise(maps[i], 4 * BLOCK, MADV_POPULATE_WRITE)));
		EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
		EXPECT_EQ(0, peek(maps[i] + 2 * BLOCK));
		EXPECT_EQ(FAULT(SIGBUS), peek(maps[i] + 2 * BLOCK + PAGE));
	}
	ASSERT_EQ(0, gmem_convert(gmem, 0, 4 * BLOCK, GMEM_SHARED));
	EXPECT_EQ(0, ERR(madvise(maps[1], 4 * BLOCK, MADV_POPULATE_READ)));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	close(gmem);
}

union extents {
	struct fiemap map;
	char room[sizeof(struct fiemap) + 8 * sizeof(struct fiemap_extent)];
};

static int all_extents(int fd, union extents *e)
{
	memset(e, 0, sizeof(*e));
	e->map.fm_length = FIEMAP_MAX_OFFSET;
	e->map.fm_extent_count = 8;
	return ioctl(fd, FS_IOC_FIEMAP, &e->map);
}

/* FIEMAP shows allocated blocks regardless of their kind, and no holes. */
TEST_F(gmem, fiemap)
{
	int fd = file_make(&self->p, "ram", 6 * BLOCK);
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	union extents before, after;

	ASSERT_GE(gmem, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, 4 * BLOCK));
	ASSERT_EQ(0, all_extents(fd, &before));
	EXPECT_NE(0, before.map.fm_mapped_extents);
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, BLOCK, variant->other));
	ASSERT_EQ(0, gmem_convert(gmem, 2 * BLOCK + PAGE, PAGE, variant->other));
	ASSERT_EQ(0, gmem_convert(gmem, 4 * BLOCK + PAGE, BLOCK, variant->other));
	ASSERT_EQ(0, all_extents(fd, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
	close(gmem);
}

/*
 * The pool can have about as many mixed blocks as it has blocks. A conversion that exceeds the
 * table changes nothing.
 */
TEST_F(gmem, full_of_states)
{
	const size_t all = self->p.free_blocks;
	int fd = file_make(&self->p, "ram", 2 * all * BLOCK);
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	int plain = file_make(&self->p, "plain", all * BLOCK);
	const uint64_t kind = variant->state;
	size_t i, page;
	int err = 0;

	for (i = 0; !err && i < 2 * all; i++)
		err = ERR(gmem_convert(gmem, i * BLOCK + i % 512 * PAGE, PAGE, variant->other));
	i--;
	EXPECT_EQ(ENOSPC, err);
	printf("# %zu of %zu blocks\n", i, all);
	/* Entry 0 of the map table is not used, so there is one fewer. */
	EXPECT_LE(all - 1, i);
	page = i * BLOCK + i % 512 * PAGE;
	EXPECT_EQ(kind, gmem_state(fd, page));
	/* A conversion that fails in the middle has not converted its first part. */
	EXPECT_EQ(ENOSPC, ERR(gmem_convert(gmem, page, 3 * BLOCK, variant->other)));
	EXPECT_EQ(kind, gmem_state(fd, page));
	EXPECT_EQ(kind, gmem_state(fd, page + BLOCK));
	/* A full table does not affect allocations and files without mixed blocks. */
	EXPECT_EQ(0, fallocate(plain, 0, 0, all * BLOCK));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	EXPECT_EQ(kind ^ PRIVATE, gmem_state(fd, 0));
	EXPECT_EQ(kind, gmem_state(fd, PAGE));
	ASSERT_EQ(0, gmem_convert(gmem, 0, PAGE, variant->first));
	EXPECT_EQ(0, gmem_convert(gmem, page, PAGE, variant->other));
	EXPECT_EQ(kind ^ PRIVATE, gmem_state(fd, page));
	/* Converting the whole file to one kind frees the entries of its mixed blocks. */
	EXPECT_EQ(0, gmem_convert(gmem, 0, 2 * all * BLOCK, variant->other));
	EXPECT_EQ(0, gmem_convert(gmem, page, PAGE, variant->first));
	EXPECT_EQ(kind, gmem_state(fd, page));
	EXPECT_EQ(kind ^ PRIVATE, gmem_state(fd, page + PAGE));
}

TEST_HARNESS_MAIN

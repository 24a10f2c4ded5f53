// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the instructions of moving 2 MiB and 64 GiB from one file to another, and back. It needs a
 * machine whose clock advances by a nanosecond with each instruction, see the VM test move-cost.
 */
#include <sys/mman.h>

#include "cost.h"
#include "fixture.h"
#include "move.h"

#define SIZE	(64 * GIB)
/* A millisecond of a CPU that executes one instruction in a nanosecond. */
#define MOST	1000000L

/* The instructions of a move, or -1. */
static long cost(int from, uint64_t from_offset, int to, uint64_t offset, uint64_t length,
		 uint32_t flags)
{
	long began = now();

	return move(from, from_offset, to, offset, length, flags) ? -1 : now() - began;
}

TEST_F(in_pool, moving)
{
	int a = file_make(&self->p, "a", SIZE), b = file_make(&self->p, "b", SIZE);
	long all, zeroed, one, mapped, middle;
	char *p;

	ASSERT_TRUE(file_allocate_unzeroed(a, SIZE));
	/* The first call of the code reads it from memory. */
	ASSERT_LT(0, cost(a, 0, b, 0, BLOCK, 0));
	ASSERT_LT(0, cost(b, 0, a, 0, BLOCK, 0));
	all = cost(a, 0, b, 0, SIZE, 0);
	zeroed = cost(b, 0, a, 0, SIZE, MOVE_ZERO);
	one = cost(a, 0, b, 0, BLOCK, 0);
	middle = cost(a, 10 * GIB + 6 * BLOCK, b, 10 * GIB + 6 * BLOCK, BLOCK, 0);
	p = map_file(a, 0, SIZE);
	ASSERT_NE(MAP_FAILED, (void *)p);
	ASSERT_EQ(0, poke(p + 20 * BLOCK, 1));
	mapped = cost(a, 20 * BLOCK, b, 20 * BLOCK, BLOCK, 0);
	TH_LOG("instructions to move 64 GiB: %ld, zeroed: %ld", all, zeroed);
	TH_LOG("2 MiB: %ld, out of the middle: %ld, mapped: %ld", one, middle, mapped);
	EXPECT_LT(0, all);
	EXPECT_LT(0, zeroed);
	EXPECT_LT(0, one);
	EXPECT_LT(0, mapped);
	EXPECT_GT(MOST, all);
	EXPECT_GT(MOST, zeroed);
	EXPECT_GT(MOST / 10, one);
	EXPECT_GT(MOST / 10, middle);
	EXPECT_GT(MOST / 10, mapped);
	/* No unit of what was moved costs anything: 32768 blocks, or 64 times as many groups. */
	EXPECT_GT(64 * one, all);
}

TEST_HARNESS_MAIN

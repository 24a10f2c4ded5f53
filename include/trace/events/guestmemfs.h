/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM guestmemfs

#if !defined(_TRACE_GUESTMEMFS_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_GUESTMEMFS_H

#include <linux/mm.h>
#include <linux/tracepoint.h>
#include <linux/types.h>

/* Blocks that a file has got or lost, and the number of free blocks in the pool after that. */
DECLARE_EVENT_CLASS(guestmemfs_blocks,
		    TP_PROTO(int node, u32 ino, u32 blocks, u32 free),

		    TP_ARGS(node, ino, blocks, free),

		    TP_STRUCT__entry(__field(int, node)
				     __field(u32, ino)
				     __field(u32, blocks)
				     __field(u32, free)),

		    TP_fast_assign(__entry->node = node;
				   __entry->ino = ino;
				   __entry->blocks = blocks;
				   __entry->free = free;),

		    TP_printk("node=%d ino=%u blocks=%u free=%u", __entry->node,
			      __entry->ino, __entry->blocks, __entry->free)
);

DEFINE_EVENT(guestmemfs_blocks, guestmemfs_allocate,
	     TP_PROTO(int node, u32 ino, u32 blocks, u32 free),
	     TP_ARGS(node, ino, blocks, free)
);

DEFINE_EVENT(guestmemfs_blocks, guestmemfs_free,
	     TP_PROTO(int node, u32 ino, u32 blocks, u32 free),
	     TP_ARGS(node, ino, blocks, free)
);

/* One call of the fault handler. The entry that it maps may be larger than @order. */
TRACE_EVENT(guestmemfs_fault,
	    TP_PROTO(int node, u32 ino, const struct vm_fault *vmf, unsigned int order,
		     vm_fault_t result),

	    TP_ARGS(node, ino, vmf, order, result),

	    TP_STRUCT__entry(__field(int, node)
			     __field(u32, ino)
			     __field(unsigned int, order)
			     __field(unsigned long, address)
			     __field(pgoff_t, pgoff)
			     __field(unsigned int, flags)
			     __field(unsigned int, result)),

	    TP_fast_assign(__entry->node = node;
			   __entry->ino = ino;
			   __entry->order = order;
			   __entry->address = vmf->address;
			   __entry->pgoff = vmf->pgoff;
			   __entry->flags = vmf->flags;
			   __entry->result = (__force unsigned int)result;),

	    TP_printk("node=%d ino=%u address=%#lx pgoff=%#lx order=%u flags=%s result=%s",
		      __entry->node, __entry->ino, __entry->address, __entry->pgoff,
		      __entry->order, __print_flags(__entry->flags, "|", FAULT_FLAG_TRACE),
		      __print_flags(__entry->result, "|", VM_FAULT_RESULT_TRACE))
);

/* A memory error in a page of a file. @frame is the number of the frame in the pool. */
TRACE_EVENT(guestmemfs_memory_failure,
	    TP_PROTO(int node, u32 ino, pgoff_t page, u64 frame),

	    TP_ARGS(node, ino, page, frame),

	    TP_STRUCT__entry(__field(int, node)
			     __field(u32, ino)
			     __field(pgoff_t, page)
			     __field(u64, frame)),

	    TP_fast_assign(__entry->node = node;
			   __entry->ino = ino;
			   __entry->page = page;
			   __entry->frame = frame;),

	    TP_printk("node=%d ino=%u page=%lu frame=%llu", __entry->node, __entry->ino,
		      __entry->page, __entry->frame)
);

/* Punching a hole, zeroing a range or shrinking a file, and whether that has failed. */
TRACE_EVENT(guestmemfs_truncate,
	    TP_PROTO(int node, u32 ino, loff_t start, loff_t end, int err),

	    TP_ARGS(node, ino, start, end, err),

	    TP_STRUCT__entry(__field(int, node)
			     __field(u32, ino)
			     __field(loff_t, start)
			     __field(loff_t, end)
			     __field(int, err)),

	    TP_fast_assign(__entry->node = node;
			   __entry->ino = ino;
			   __entry->start = start;
			   __entry->end = end;
			   __entry->err = err;),

	    TP_printk("node=%d ino=%u start=%#llx end=%#llx err=%d", __entry->node,
		      __entry->ino, __entry->start, __entry->end, __entry->err)
);

/*
 * Moving blocks from one part of a file to another one, or exchanging them. Offsets are in
 * blocks.
 */
TRACE_EVENT(guestmemfs_move,
	    TP_PROTO(int node, u32 from, u64 from_block, u32 to, u64 to_block, u64 blocks,
		     bool exchange, int err),

	    TP_ARGS(node, from, from_block, to, to_block, blocks, exchange, err),

	    TP_STRUCT__entry(__field(int, node)
			     __field(u32, from)
			     __field(u32, to)
			     __field(u64, from_block)
			     __field(u64, to_block)
			     __field(u64, blocks)
			     __field(bool, exchange)
			     __field(int, err)),

	    TP_fast_assign(__entry->node = node;
			   __entry->from = from;
			   __entry->to = to;
			   __entry->from_block = from_block;
			   __entry->to_block = to_block;
			   __entry->blocks = blocks;
			   __entry->exchange = exchange;
			   __entry->err = err;),

	    TP_printk("node=%d from=%u from_block=%llu to=%u to_block=%llu blocks=%llu exchange=%d err=%d",
		      __entry->node, __entry->from, __entry->from_block, __entry->to,
		      __entry->to_block, __entry->blocks, __entry->exchange, __entry->err)
);

#ifndef _TRACE_GUESTMEMFS_STEPS
#define _TRACE_GUESTMEMFS_STEPS
/* The calls of the Live Update Orchestrator for a file. */
enum guestmemfs_step {
	GUESTMEMFS_STEP_PRESERVE,
	GUESTMEMFS_STEP_UNPRESERVE,
	GUESTMEMFS_STEP_RETRIEVE,
	GUESTMEMFS_STEP_FINISH,
};
#endif

TRACE_DEFINE_ENUM(GUESTMEMFS_STEP_PRESERVE);
TRACE_DEFINE_ENUM(GUESTMEMFS_STEP_UNPRESERVE);
TRACE_DEFINE_ENUM(GUESTMEMFS_STEP_RETRIEVE);
TRACE_DEFINE_ENUM(GUESTMEMFS_STEP_FINISH);

TRACE_EVENT(guestmemfs_preserve,
	    TP_PROTO(int node, u32 ino, enum guestmemfs_step step, int err),

	    TP_ARGS(node, ino, step, err),

	    TP_STRUCT__entry(__field(int, node)
			     __field(u32, ino)
			     __field(unsigned int, step)
			     __field(int, err)),

	    TP_fast_assign(__entry->node = node;
			   __entry->ino = ino;
			   __entry->step = step;
			   __entry->err = err;),

	    TP_printk("node=%d ino=%u step=%s err=%d", __entry->node, __entry->ino,
		      __print_symbolic(__entry->step,
				       { GUESTMEMFS_STEP_PRESERVE,	"preserve" },
				       { GUESTMEMFS_STEP_UNPRESERVE,	"unpreserve" },
				       { GUESTMEMFS_STEP_RETRIEVE,	"retrieve" },
				       { GUESTMEMFS_STEP_FINISH,	"finish" }),
		      __entry->err)
);

#endif /* _TRACE_GUESTMEMFS_H */

/* This part must be outside protection */
#include <trace/define_trace.h>

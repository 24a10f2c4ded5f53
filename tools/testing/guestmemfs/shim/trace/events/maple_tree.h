/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_TRACE_EVENTS_MAPLE_TREE_H
#define _SHIM_TRACE_EVENTS_MAPLE_TREE_H

#define tracepoint_string(s)	(s)
#define trace_ma_op(...)	do { } while (0)
#define trace_ma_read(...)	do { } while (0)
#define trace_ma_write(...)	do { } while (0)

#endif /* _SHIM_TRACE_EVENTS_MAPLE_TREE_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_MINMAX_H
#define _SHIM_LINUX_MINMAX_H

/* Without the kernel's check that both sides have the same signedness. */
#define min_t(type, a, b) \
	({ type _min_a = (a); type _min_b = (b); _min_a < _min_b ? _min_a : _min_b; })
#define max_t(type, a, b) \
	({ type _max_a = (a); type _max_b = (b); _max_a > _max_b ? _max_a : _max_b; })
#define clamp_t(type, v, low, high)	min_t(type, max_t(type, v, low), high)
#define min(a, b) \
	({ __auto_type _min_x = (a); __auto_type _min_y = (b); \
	   _min_x < _min_y ? _min_x : _min_y; })
#define max(a, b) \
	({ __auto_type _max_x = (a); __auto_type _max_y = (b); \
	   _max_x > _max_y ? _max_x : _max_y; })

#endif /* _SHIM_LINUX_MINMAX_H */

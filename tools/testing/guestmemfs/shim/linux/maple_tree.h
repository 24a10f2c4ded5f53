/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_MAPLE_TREE_H
#define _SHIM_LINUX_MAPLE_TREE_H

/*
 * Includes the kernel's own header, whose path the Makefile defines. Programs that only read tables
 * compile without the kernel's sources; they need only a type, since struct gmfs_extmap has a tree.
 */
#ifdef SHIM_MAPLE_TREE_H
/* The layout of the tree's nodes depends on this. On 32-bit machines the build fails. */
#define CONFIG_64BIT		1
#include SHIM_MAPLE_TREE_H
#else
struct maple_tree {
	void *ma_root;
};
#endif

#endif /* _SHIM_LINUX_MAPLE_TREE_H */

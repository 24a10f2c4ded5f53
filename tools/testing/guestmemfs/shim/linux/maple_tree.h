/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_MAPLE_TREE_H
#define _SHIM_LINUX_MAPLE_TREE_H

/*
 * The kernel's own: the Makefile says where it is. Programs that only read tables have no
 * maple tree, and compile without the kernel's sources; struct gmfs_extmap embeds one.
 */
#ifdef SHIM_MAPLE_TREE_H
/* The tree's nodes depend on it; the build fails on other machines. */
#define CONFIG_64BIT		1
#include SHIM_MAPLE_TREE_H
#else
struct maple_tree {
	void *ma_root;
};
#endif

#endif /* _SHIM_LINUX_MAPLE_TREE_H */

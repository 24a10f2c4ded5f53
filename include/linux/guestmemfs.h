/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_GUESTMEMFS_H
#define _LINUX_GUESTMEMFS_H

#include <linux/types.h>

struct vm_area_struct;

/* The interface for the rest of the kernel. See Documentation/filesystems/guestmemfs.rst. */

#ifdef CONFIG_GUESTMEMFS_FS
void guestmemfs_handover_unread(void);
void guestmemfs_early_revive(void);
void guestmemfs_early_reserve(void);
bool vma_is_guestmemfs(const struct vm_area_struct *vma);
int guestmemfs_kexec_load(bool handover);
int guestmemfs_kexec(bool handover);
void guestmemfs_kexec_loaded(bool handover);
bool guestmemfs_has_memory(phys_addr_t phys);
bool guestmemfs_has_range(phys_addr_t start, u64 size);
bool guestmemfs_next_range(phys_addr_t from, phys_addr_t *base, phys_addr_t *end, int *nid);
#else
static inline bool vma_is_guestmemfs(const struct vm_area_struct *vma)
{
	return false;
}

static inline void guestmemfs_handover_unread(void)
{
}

static inline void guestmemfs_early_revive(void)
{
}

static inline void guestmemfs_early_reserve(void)
{
}

static inline int guestmemfs_kexec_load(bool handover)
{
	return 0;
}

static inline int guestmemfs_kexec(bool handover)
{
	return 0;
}

static inline void guestmemfs_kexec_loaded(bool handover)
{
}

static inline bool guestmemfs_has_memory(phys_addr_t phys)
{
	return false;
}

static inline bool guestmemfs_has_range(phys_addr_t start, u64 size)
{
	return false;
}

static inline bool guestmemfs_next_range(phys_addr_t from, phys_addr_t *base, phys_addr_t *end,
					 int *nid)
{
	return false;
}
#endif

#endif /* _LINUX_GUESTMEMFS_H */

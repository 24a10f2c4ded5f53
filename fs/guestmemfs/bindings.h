/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_BINDINGS_H
#define _GUESTMEMFS_BINDINGS_H

#include <linux/gmem_provider.h>

/* Shared by bindings.c and gmem.c: how two bindings of a file relate. */

static inline bool gmfs_binding_touches(const struct gmem_binding *b, pgoff_t first, pgoff_t last)
{
	return b->start < last && first < b->end;
}

/* Do both bindings use private memory, and belong to different VMs? */
static inline bool gmfs_bindings_contest(const struct gmem_binding *a, const struct gmem_binding *b)
{
	return a->uses_private && b->uses_private && a->vm_id != b->vm_id;
}

#endif /* _GUESTMEMFS_BINDINGS_H */

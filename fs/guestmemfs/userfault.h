/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_USERFAULT_H
#define _GUESTMEMFS_USERFAULT_H

struct vm_uffd_ops;

extern const struct vm_uffd_ops gmfs_uffd_ops;

#endif /* _GUESTMEMFS_USERFAULT_H */

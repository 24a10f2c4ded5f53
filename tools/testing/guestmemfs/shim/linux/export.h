/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_EXPORT_H
#define _SHIM_LINUX_EXPORT_H

/* Expands to a declaration, so that a semicolon may follow. */
#define shim_export(name)	extern int shim_export_##name
#define EXPORT_SYMBOL		shim_export
#define EXPORT_SYMBOL_GPL	shim_export

#endif /* _SHIM_LINUX_EXPORT_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_CTYPE_H
#define _SHIM_LINUX_CTYPE_H

/* For ASCII only, and safe for any char, unlike the functions of the C library. */
static inline int shim_isdigit(int c)
{
	return c >= '0' && c <= '9';
}

static inline int shim_toupper(int c)
{
	return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
}

#define isdigit(c)	shim_isdigit(c)
#define toupper(c)	shim_toupper(c)

#endif /* _SHIM_LINUX_CTYPE_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Amounts of memory as text: the guestmemfs= parameter ("16G", "90%", "0:8G,1:50%") and
 * the options of a mount.
 */
#include <linux/ctype.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/overflow.h>
#include <linux/string.h>

#include "tables.h"

/* memparse() would wrap around without a word. */
static int gmfs_parse_number(const char **p, u64 *value)
{
	if (!isdigit(**p))
		return -EINVAL;
	*value = 0;
	while (isdigit(**p)) {
		if (check_mul_overflow(*value, 10ULL, value) ||
		    check_add_overflow(*value, (u64)(**p - '0'), value))
			return -EINVAL;
		(*p)++;
	}
	return 0;
}

static int gmfs_suffix_shift(char c)
{
	switch (toupper(c)) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	case 'T':
		return 40;
	default:
		return 0;
	}
}

/* What is behind a number: a unit, or that it is a percentage. */
static int gmfs_parse_unit(const char **p, u64 value, u64 *bytes, u32 *percent)
{
	int shift = gmfs_suffix_shift(**p);

	*bytes = 0;
	*percent = 0;
	if (**p == '%') {
		if (!value || value > 100)
			return -EINVAL;
		*percent = value;
		(*p)++;
		return 0;
	}
	if (shift)
		(*p)++;
	if (value > U64_MAX >> shift)
		return -EINVAL;
	*bytes = value << shift;
	return 0;
}

/**
 * gmfs_amount_parse - understand an amount
 * @text: a decimal number with K, M, G, T, % or nothing behind it, and nothing more
 * @bytes: the answer, or 0 if it is a percentage
 * @percent: 1 to 100, or 0 if it is not
 *
 * Return: 0 or -EINVAL.
 */
int gmfs_amount_parse(const char *text, u64 *bytes, u32 *percent)
{
	u64 value;
	int err;

	err = gmfs_parse_number(&text, &value);
	if (!err)
		err = gmfs_parse_unit(&text, value, bytes, percent);
	return !err && *text ? -EINVAL : err;
}

static int gmfs_parse_amount(const char **p, u64 value, struct gmfs_request *req)
{
	return value ? gmfs_parse_unit(p, value, &req->bytes, &req->percent) : -EINVAL;
}

static bool gmfs_parse_discard(const char **p, struct gmfs_request *req)
{
	static const char word[] = "discard";

	if (strncmp(*p, word, sizeof(word) - 1))
		return false;
	*p += sizeof(word) - 1;
	req->discard = true;
	return true;
}

static int gmfs_parse_item(const char **p, struct gmfs_request *req)
{
	u64 value;
	int err;

	memset(req, 0, sizeof(*req));
	req->node = GMFS_ALL_NODES;
	if (gmfs_parse_discard(p, req))
		return 0;
	err = gmfs_parse_number(p, &value);
	if (err)
		return err;
	if (**p == ':') {
		if (value >= GMFS_ALL_NODES)
			return -EINVAL;
		req->node = value;
		(*p)++;
		if (gmfs_parse_discard(p, req))
			return 0;
		err = gmfs_parse_number(p, &value);
		if (err)
			return err;
	}
	return gmfs_parse_amount(p, value, req);
}

/*
 * Is there another item of the kind for the same node? One for all nodes is
 * for each of them.
 */
static bool gmfs_is_twice(const struct gmfs_request *reqs, u32 nr, const struct gmfs_request *req)
{
	u32 i;

	for (i = 0; i < nr; i++)
		if (reqs[i].discard == req->discard &&
		    (reqs[i].node == req->node || reqs[i].node == GMFS_ALL_NODES ||
		     req->node == GMFS_ALL_NODES))
			return true;
	return false;
}

/**
 * gmfs_cmdline_parse - understand the guestmemfs= parameter
 * @arg: the text behind the equals sign
 * @reqs: the answer
 * @max: room in @reqs
 * @nr: number of answers; of those that discard and of those that do not, one
 *	alone if it is for %GMFS_ALL_NODES
 *
 * Return: 0, or -EINVAL if the text is not one of the forms, names a node
 * twice for the same thing, or an amount is zero, over 100 % or does not fit in 64 bits; -E2BIG
 * if it names more than @max nodes.
 */
int gmfs_cmdline_parse(const char *arg, struct gmfs_request *reqs, u32 max, u32 *nr)
{
	int err;

	for (*nr = 0;; arg++) {
		struct gmfs_request *req = &reqs[*nr];

		if (*nr == max)
			return -E2BIG;
		err = gmfs_parse_item(&arg, req);
		if (err)
			return err;
		if (gmfs_is_twice(reqs, *nr, req))
			return -EINVAL;
		(*nr)++;
		if (!*arg)
			return 0;
		if (*arg != ',')
			return -EINVAL;
	}
}

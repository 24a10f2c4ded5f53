// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parse amounts of memory: the guestmemfs= parameter ("16G", "90%", "0:8G,1:50%", "8G+90%"), the
 * mount options size= and nr_inodes=, and sizes of pools.
 */
#include <linux/ctype.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/overflow.h>
#include <linux/string.h>

#include "tables.h"

/* memparse() would silently wrap around. */
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

/* Parse what follows a number: a unit, a percent sign, or nothing. */
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
 * gmfs_amount_parse - parse an amount
 * @text: a decimal number, followed by K, M, G, T, % or nothing
 * @bytes: result: the amount, 0 for a percentage
 * @percent: result: 1 to 100 for a percentage, else 0
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

/* Parse what follows the number of an item: its unit, and how much the pool may grow. */
static int gmfs_parse_amount(const char **p, u64 value, struct gmfs_request *req)
{
	int err;

	err = gmfs_parse_unit(p, value, &req->bytes, &req->percent);
	if (err || **p != '+')
		return err || value ? err : -EINVAL;
	(*p)++;
	err = gmfs_parse_number(p, &value);
	if (err || !value)
		return -EINVAL;
	return gmfs_parse_unit(p, value, &req->more_bytes, &req->more_percent);
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
 * Is there another item of the same kind (amount or discard) for the same node? An item for
 * all nodes counts as one for each node.
 */
static bool gmfs_request_is_duplicate(const struct gmfs_request *reqs, u32 nr,
				      const struct gmfs_request *req)
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
 * gmfs_cmdline_parse - parse the guestmemfs= parameter
 * @arg: the text after the equals sign
 * @reqs: result
 * @max: number of elements of @reqs
 * @nr: result: number of items. An item for %GMFS_ALL_NODES is the only one of its kind
 *	(amount or discard).
 *
 * Return: 0; -EINVAL if the syntax is wrong, if there are two items of one kind for a node,
 * or if an amount is zero (unless the pool may grow), more than 100 % or does not fit in 64
 * bits; -E2BIG if there are more than @max items.
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
		if (gmfs_request_is_duplicate(reqs, *nr, req))
			return -EINVAL;
		(*nr)++;
		if (!*arg)
			return 0;
		if (*arg != ',')
			return -EINVAL;
	}
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads JSON (RFC 8259) into a tree. What a monitor says is not trusted: the depth is bounded, and
 * anything that is no JSON gives NULL.
 */
#include <stdlib.h>
#include <string.h>

#include "guestmemctl.h"

#define JSON_DEPTH	64

static struct json *parse_value(const char **p, unsigned int depth);

static void skip_blanks(const char **p)
{
	*p += strspn(*p, " \t\r\n");
}

void json_free(struct json *j)
{
	while (j) {
		struct json *next = j->next;

		json_free(j->child);
		free(j->key);
		free(j->string);
		free(j);
		j = next;
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

static long four_digits(const char *p)
{
	long v = 0;
	int i;

	for (i = 0; i < 4; i++) {
		int d = hex_digit(p[i]);

		if (d < 0)
			return -1;
		v = 16 * v + d;
	}
	return v;
}

/* Appends a code point as UTF-8; surrogates without another half and NUL become a question mark. */
static char *put_utf8(char *out, long c)
{
	if (!c || (c >= 0xd800 && c < 0xe000))
		c = '?';
	if (c < 0x80) {
		*out++ = c;
	} else if (c < 0x800) {
		*out++ = 0xc0 | c >> 6;
		*out++ = 0x80 | (c & 0x3f);
	} else {
		if (c >= 0x10000) {
			*out++ = 0xf0 | c >> 18;
			*out++ = 0x80 | (c >> 12 & 0x3f);
		} else {
			*out++ = 0xe0 | c >> 12;
		}
		*out++ = 0x80 | (c >> 6 & 0x3f);
		*out++ = 0x80 | (c & 0x3f);
	}
	return out;
}

/* Takes the digits after "\u", and those of a second escape if both are one character. */
static long take_digits(const char **p)
{
	long c = four_digits(*p), low;

	if (c < 0)
		return c;
	*p += 4;
	if (c < 0xd800 || c >= 0xdc00 || (*p)[0] != '\\' || (*p)[1] != 'u')
		return c;
	low = four_digits(*p + 2);
	if (low < 0xdc00 || low >= 0xe000)
		return c;
	*p += 6;
	return 0x10000 + ((c - 0xd800) << 10) + low - 0xdc00;
}

/* Takes one escape after the backslash. Returns NULL if it is none. */
static char *take_escape(const char **p, char *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *which;
	long c;

	if (**p == 'u') {
		(*p)++;
		c = take_digits(p);
		if (c < 0)
			return NULL;
		return put_utf8(out, c);
	}
	which = **p ? strchr(from, **p) : NULL;
	if (!which)
		return NULL;
	*out++ = to[which - from];
	(*p)++;
	return out;
}

/* The number of bytes up to the quotation mark, or to the end if there is none. */
static size_t string_length(const char *s)
{
	size_t n;

	for (n = 0; s[n] && s[n] != '"'; n++)
		if (s[n] == '\\' && s[n + 1])
			n++;
	return n;
}

static char *parse_string(const char **p)
{
	char *s, *out;

	if (**p != '"')
		return NULL;
	(*p)++;
	/* No escape is shorter than what it stands for. */
	s = xcalloc(string_length(*p) + 1, 1);
	out = s;
	while (**p && **p != '"') {
		if (**p != '\\') {
			*out++ = *(*p)++;
			continue;
		}
		(*p)++;
		out = take_escape(p, out);
		if (!out)
			break;
	}
	if (!out || **p != '"') {
		free(s);
		return NULL;
	}
	(*p)++;
	return xrealloc(s, strlen(s) + 1, 1);
}

/* Takes a member with its key, or an element. */
static struct json *parse_child(const char **p, bool keyed, unsigned int depth)
{
	struct json *child;
	char *key = NULL;

	skip_blanks(p);
	if (keyed) {
		key = parse_string(p);
		skip_blanks(p);
		if (!key || **p != ':') {
			free(key);
			return NULL;
		}
		(*p)++;
	}
	child = parse_value(p, depth);
	if (!child) {
		free(key);
		return NULL;
	}
	child->key = key;
	skip_blanks(p);
	return child;
}

static bool parse_children(const char **p, struct json *j, char end, unsigned int depth)
{
	struct json **tail = &j->child;

	(*p)++;
	skip_blanks(p);
	if (**p == end) {
		(*p)++;
		return true;
	}
	for (;;) {
		*tail = parse_child(p, end == '}', depth);
		if (!*tail)
			return false;
		tail = &(*tail)->next;
		if (**p == end)
			break;
		if (**p != ',')
			return false;
		(*p)++;
	}
	(*p)++;
	return true;
}

static bool parse_word(const char **p, struct json *j)
{
	static const struct {
		const char *word;
		enum json_type type;
		bool boolean;
	} words[] = {
		{ "null", JSON_NULL, false },
		{ "true", JSON_BOOL, true },
		{ "false", JSON_BOOL, false },
	};
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		n = strlen(words[i].word);
		if (strncmp(*p, words[i].word, n))
			continue;
		j->type = words[i].type;
		j->boolean = words[i].boolean;
		*p += n;
		return true;
	}
	n = strspn(*p, "0123456789+-.eE");
	if (!n)
		return false;
	j->type = JSON_NUMBER;
	j->string = strndup(*p, n);
	*p += n;
	return j->string;
}

static struct json *parse_value(const char **p, unsigned int depth)
{
	struct json *j;
	bool good;

	if (depth > JSON_DEPTH)
		return NULL;
	j = xcalloc(1, sizeof(*j));
	skip_blanks(p);
	switch (**p) {
	case '{':
		j->type = JSON_OBJECT;
		good = parse_children(p, j, '}', depth + 1);
		break;
	case '[':
		j->type = JSON_ARRAY;
		good = parse_children(p, j, ']', depth + 1);
		break;
	case '"':
		j->type = JSON_STRING;
		j->string = parse_string(p);
		good = j->string;
		break;
	default:
		good = parse_word(p, j);
		break;
	}
	if (good)
		return j;
	json_free(j);
	return NULL;
}

struct json *json_parse(const char *s)
{
	struct json *j = parse_value(&s, 0);

	skip_blanks(&s);
	if (j && *s) {
		json_free(j);
		return NULL;
	}
	return j;
}

/* The member of an object, or NULL; @j may be NULL or anything. */
const struct json *json_get(const struct json *j, const char *key)
{
	const struct json *child;

	if (!j || j->type != JSON_OBJECT)
		return NULL;
	for (child = j->child; child; child = child->next)
		if (!strcmp(child->key, key))
			return child;
	return NULL;
}

const char *json_get_string(const struct json *j, const char *key)
{
	const struct json *member = json_get(j, key);

	return member && member->type == JSON_STRING ? member->string : NULL;
}

uint64_t json_get_number(const struct json *j, const char *key)
{
	const struct json *member = json_get(j, key);
	uint64_t value;

	if (!member || member->type != JSON_NUMBER || !number_of(member->string, &value))
		return UNKNOWN;
	return value;
}

bool json_get_bool(const struct json *j, const char *key)
{
	const struct json *member = json_get(j, key);

	return member && member->type == JSON_BOOL && member->boolean;
}

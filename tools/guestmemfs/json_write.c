// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes JSON, one value a line.
 */
#include "guestmemctl.h"

/*
 * Bytes of a name that are no UTF-8 are no JSON either, and are replaced. With @exact, for what
 * this program reads itself, they stay.
 */
void json_quote(FILE *out, const char *value, bool exact)
{
	unsigned int n;

	fputc('"', out);
	for (; *value; value += n) {
		unsigned char c = *value;

		n = utf8_char(value);
		if (!n && !exact)
			fputs("\\ufffd", out);
		else if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fwrite(value, n ? n : 1, 1, out);
		n = n ? n : 1;
	}
	fputc('"', out);
}

static void json_key(struct json_out *j, const char *key)
{
	if (j->more)
		fputc(',', j->file);
	if (j->depth)
		fprintf(j->file, "\n%*s", (int)(2 * j->depth), "");
	if (key) {
		json_quote(j->file, key, j->exact);
		fputs(": ", j->file);
	}
	j->more = true;
}

void json_open(struct json_out *j, const char *key, char bracket)
{
	json_key(j, key);
	fputc(bracket, j->file);
	j->depth++;
	j->more = false;
}

void json_close(struct json_out *j, char bracket)
{
	j->depth--;
	if (j->more)
		fprintf(j->file, "\n%*s", (int)(2 * j->depth), "");
	fputc(bracket, j->file);
	if (!j->depth)
		fputc('\n', j->file);
	j->more = true;
}

void json_string(struct json_out *j, const char *key, const char *value)
{
	json_key(j, key);
	if (value)
		json_quote(j->file, value, j->exact);
	else
		fputs("null", j->file);
}

void json_number(struct json_out *j, const char *key, uint64_t value)
{
	json_key(j, key);
	if (value == UNKNOWN)
		fputs("null", j->file);
	else
		fprintf(j->file, "%llu", (unsigned long long)value);
}

void json_bool(struct json_out *j, const char *key, bool value)
{
	json_key(j, key);
	fputs(value ? "true" : "false", j->file);
}

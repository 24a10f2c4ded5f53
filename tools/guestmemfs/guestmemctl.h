/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guestmemctl: what is in the pools of guestmemfs, and live updates of the host's kernel.
 *
 * A function that can fail returns a text that says why, which the caller frees, or NULL.
 */
#ifndef _GUESTMEMCTL_H
#define _GUESTMEMCTL_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define attribute(a)	__attribute__(a)

#define BLOCK_SHIFT	21
#define BLOCK_SIZE	(2ULL << 20)
#define GIB		(1024ULL << 20)

/* A number that could not be read. */
#define UNKNOWN		UINT64_MAX

/* The exit statuses of all commands. */
#define EXIT_YES	0
#define EXIT_NO		1	/* it failed, or the answer is no */
#define EXIT_TROUBLE	2	/* the command line is wrong, or it could not be found out */

/* util.c */
extern const char *program;

void die(const char *fmt, ...) attribute((noreturn, format(printf, 1, 2)));
void put_message(FILE *out, const char *fmt, va_list args) attribute((format(printf, 2, 0)));
void warn(const char *fmt, ...) attribute((format(printf, 1, 2)));
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *old, size_t n, size_t size);
char *xstrdup(const char *s);
char *text(const char *fmt, ...) attribute((format(printf, 1, 2)));
bool number_of(const char *s, uint64_t *value);
uint64_t now_ms(void);
uint64_t mono_ms(void);
void sleep_ms(unsigned int ms);
const char *show_size(char *buf, size_t size, uint64_t bytes);
/* The length of the character that begins at @s, or 0 if the bytes are no UTF-8. */
unsigned int utf8_char(const char *s);
char *escaped(const char *s);
void close_output(void);

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

/* Prints @usage and exits if the only argument asks for help. */
void usage_help(int argc, char **argv, const char *usage);
void usage_error(const char *usage) attribute((noreturn));

/* host.c: files of the system, below $GUESTMEMCTL_ROOT if that is set. */
char *host_path(const char *path);
char *host_read(const char *path);
uint64_t host_number(const char *path);
char *host_make_dirs(const char *path);
char *host_write(const char *path, const char *contents);
char *host_remove(const char *path);
char *host_rename(const char *from, const char *to);

/* table.c: columns of text */
struct table {
	char **cells;
	size_t nr;
	unsigned int columns;
	const char *right;	/* a character for each column: r for numbers */
};

void table_cell(struct table *t, char *cell);
void table_print(struct table *t, FILE *out);

/* json_write.c */
struct json_out {
	FILE *file;
	unsigned int depth;
	bool more;
	bool exact;	/* strings with bytes that are no UTF-8 keep them */
};

void json_open(struct json_out *j, const char *key, char bracket);
void json_close(struct json_out *j, char bracket);
void json_string(struct json_out *j, const char *key, const char *value);
void json_number(struct json_out *j, const char *key, uint64_t value);
void json_bool(struct json_out *j, const char *key, bool value);
void json_quote(FILE *out, const char *value, bool exact);

/* json_read.c */
enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
	enum json_type type;
	char *key;
	char *string;		/* of a string or a number, as it is written */
	bool boolean;
	struct json *child;
	struct json *next;
};

struct json *json_parse(const char *s);
void json_free(struct json *j);
const struct json *json_get(const struct json *j, const char *key);
const char *json_get_string(const struct json *j, const char *key);
uint64_t json_get_number(const struct json *j, const char *key);
bool json_get_bool(const struct json *j, const char *key);

/* pools.c */
struct user {
	pid_t pid;
	char *name;
	bool open;
	bool mapped;
};

struct file {
	uint64_t ino;
	char *path;		/* in the pool, with a slash; NULL: it has no name any more */
	uint64_t size;
	uint64_t memory;
	uint64_t private_pages;
	uint64_t pinned_pages;
	uint64_t bad_pages;
	uint64_t extents;
	uint64_t gigabytes;	/* that one entry of 1 GiB can map */
	unsigned int mode;
	unsigned int uid;
	unsigned int gid;
	struct user *users;
	size_t nr_users;
};

struct pool {
	unsigned int node;
	char *name;
	char *uuid;
	char *refused;		/* NULL: it is not */
	char *mount;		/* where it is mounted, NULL: nowhere */
	dev_t dev;
	uint64_t size;
	uint64_t metadata_size;
	uint64_t kexecs;
	uint64_t pinned;
	uint64_t persistent;
	uint64_t poisoned;
	uint64_t free;
	uint64_t reserved;
	uint64_t detached;
	uint64_t lost;
	uint64_t unzeroed;
	uint64_t largest_free;
	uint64_t free_gigabytes;
	uint64_t room;
	struct file *files;
	size_t nr_files;
	struct file **by_inode;	/* from pool_users() on */
	const char *files_from;	/* "tables", "mount", or NULL: they are not known */
	char *files_why;	/* why they are not known */
};

struct pools {
	char *handover;
	char *format;
	struct pool *pool;
	size_t nr;
};

char *pools_read(struct pools *p);
void pools_free(struct pools *p);
struct pool *pools_find(struct pools *p, const char *name);
/* The type of the filesystem that has @path, or its nearest directory that exists. */
char *mount_type(const char *path);
/* The pool that @path is a file of, by the longest mount point. */
struct pool *pools_of_path(struct pools *p, const char *path);
char *tables_path(const struct pool *pool);

/* files.c, users.c */
struct file *pool_add_file(struct pool *pool);
void pool_files(struct pool *pool);
void pool_sort(struct pool *pool);
void pool_users(struct pools *pools);

/* tables.c: the preserved format */
#define BLOCK_PAGES	512

struct run {
	uint64_t logical;
	uint32_t block;
	uint32_t count;
	size_t file;		/* index, or RUN_DETACHED */
	uint32_t private_pages;	/* in each block */
};

#define RUN_DETACHED	SIZE_MAX

struct range {
	uint64_t base;
	uint64_t size;
	uint32_t first;
};

struct tables {
	uint64_t nr_blocks;
	struct range *ranges;
	size_t nr_ranges;
	struct run *runs;
	size_t nr_runs;
	unsigned char *bitmap;	/* a bit for each block: it is taken, or there is none */
	uint64_t *bad;		/* numbers of pages, from that of block 0 on */
	size_t nr_bad;
	uint64_t *pins;		/* pairs: first page and number of pages */
	size_t nr_pins;
};

char *tables_read(struct tables *t, struct pool *pool, const char *path);
void tables_free(struct tables *t);

/* layout.c: what is in each block */
#define BLOCK_PRIVATE	0x01	/* all of its pages, or some */
#define BLOCK_PINNED	0x02
#define BLOCK_BAD	0x04
#define OWNER_FREE	0U
#define OWNER_NONE	UINT32_MAX	/* there is no block of that number */
#define OWNER_DETACHED	(UINT32_MAX - 1)
#define OWNER_ODD	(UINT32_MAX - 2)	/* taken, and not in any extent */

struct layout {
	uint32_t *owner;	/* index of a file plus 1, or OWNER_* */
	unsigned char *flags;
	unsigned char *whole;	/* for each aligned gigabyte of blocks: one entry can map it */
	uint64_t nr;
};

enum gigabyte {
	GIGABYTE_FREE, GIGABYTE_WHOLE, GIGABYTE_BROKEN,
};

void layout_make(struct layout *l, const struct tables *t, struct pool *pool);
void layout_free(struct layout *l);
/* Asks the kernel which pages devices have pinned: the tables of a mounted pool do not say. */
void layout_pins(struct layout *l, const struct tables *t, struct pool *pool);
uint32_t layout_block(const struct tables *t, uint64_t phys);
enum gigabyte layout_gigabyte(const struct layout *l, const struct tables *t, uint64_t phys,
			      bool *bad);

/* map_text.c, map_svg.c */
struct map {
	struct pool *pool;
	struct tables tables;
	struct layout layout;
};

void map_text(const struct map *m, unsigned int width, bool colour);
char *map_svg(const struct map *m, const char *path);
/* The file for a picture, or the standard output for "-". svg_close() tells why it is NULL. */
FILE *svg_open(const char *path);
/* Returns the reason if the picture has not been written. */
char *svg_close(FILE *out, const char *path);
/* Writes a text that may have any characters. */
void svg_text(FILE *out, const char *s);
uint64_t range_start(const struct range *r, uint64_t unit);

/* qmp.c: one connection to the monitor of QEMU. All deadlines are of mono_ms(). */
struct qmp {
	int fd;
	char *buf;
	size_t have;
	size_t room;
	/* The other end has closed the connection. */
	bool ended;
	/* Of libvirt, which is asked instead; NULL: none. */
	const char *domain;
};

/* So many bytes of an error of QEMU are shown. */
#define SAID_MAX	1000

/*
 * Connects to the monitor. If nobody listens there: with @absent, sets it and returns at once;
 * without it, tries again until the deadline.
 */
char *qmp_connect(struct qmp *q, const char *path, uint64_t deadline, bool *absent);
/*
 * Runs a command with arguments, an object of JSON or NULL. @answer, if it is not NULL, is the
 * whole answer, for json_free().
 */
char *qmp_ask(struct qmp *q, struct json **answer, uint64_t deadline, const char *command,
	      const char *arguments);
char *qmp_status(struct qmp *q, uint64_t deadline, char **status);
/* Sets what saving and restoring a guest without its RAM needs. */
char *qmp_prepare(struct qmp *q, uint64_t deadline);
/* Sets them back. */
char *qmp_unprepare(struct qmp *q, uint64_t deadline);
/* Starts "migrate" or "migrate-incoming" with a file, and waits for the end. */
char *qmp_migrate(struct qmp *q, uint64_t deadline, const char *command, const char *file);
char *qmp_quit(struct qmp *q, uint64_t deadline);
void qmp_close(struct qmp *q);

/*
 * libvirt.c: a guest of libvirt has "libvirt:DOMAIN" in the place of its socket. Functions stand
 * behind those of the same names in qmp.c.
 */
struct guest;
const char *domain_of(const char *qmp);
char *domain_qmp(const char *domain);
char *domain_start(const struct guest *guest);
char *domain_connect(struct qmp *q, const char *domain, uint64_t deadline, bool *absent);
char *domain_ask(struct qmp *q, const char *line, uint64_t deadline, struct json **j);
char *domain_quit(struct qmp *q, uint64_t deadline);
char *domain_look(const struct qmp *q, uint64_t deadline);
char *domain_prepare(const struct guest *guest, const struct qmp *q, uint64_t deadline);
void domain_forget(const struct guest *guest);

/* guest.c: descriptions of guests, and what is recorded of them */
#define STATE_DIR	"/var/lib/guestmemfs"
#define SAVED_DIR	STATE_DIR "/saved"
#define RUN_DIR		"/run/guestmemfs"
#define GUESTS_DIR	"/etc/guestmemfs/guests.d"
#define INCOMING	"-S -incoming defer"

/* Records of guests that are saved, that went on, and whose memory is lost. */
#define SAVED		".json"
#define WENT_ON		".done"
#define LOST		".lost"

/* The moments between the phases of a standstill. */
enum moment { AT_STOP, AT_SAVED, AT_KEXEC, AT_BOOT, AT_READY, AT_VMM, AT_RUNS, NR_MOMENTS };

struct memory {
	char *path;
	char *pool;		/* the UUID */
	uint64_t ino;
	uint64_t size;
};

struct guest {
	/* The description: */
	char *name;
	char *qmp;		/* socket, or a domain of libvirt */
	char *state;		/* file with the state of its devices */
	char *start;		/* command that starts its VMM */
	uint64_t timeout;	/* seconds */
	/* The record: */
	char *boot;		/* identity of the boot in which it was saved */
	bool running;
	struct memory *memory;
	size_t nr_memory;
	uint64_t at[NR_MOMENTS];	/* ms since 1970; 0: there was no such moment */
	/* While a process saves or restores it: */
	pid_t pid;
	int from;
	int to;
	char *line;
	size_t line_len;
	bool finished;
	bool ended;		/* the process has ended by itself */
	char *why;		/* it has failed */
};

struct guests {
	struct guest *guest;
	size_t nr;
};

char *guests_read(struct guests *g, const char *dir);
char *guests_choose(struct guests *g, char **names, int nr);
void guests_drop(struct guests *g, size_t i);
void guest_add_memory(struct guest *guest, const char *path, const char *pool, uint64_t ino,
		      uint64_t size);
void guest_forget_memory(struct guest *guest);
void guest_remove_state(const struct guest *guest);

/* record.c */
/* Reads all records of that kind but damaged ones. Returns what is wrong with the first. */
char *records_read(struct guests *g, const char *suffix);
void records_forget(const char *suffix);
char *record_write(const struct guest *guest, const char *suffix);
bool record_exists(const struct guest *guest, const char *suffix);
/* The record is gone from the disk as well, or the reason is returned. */
char *record_remove(const struct guest *guest, const char *suffix);
char *record_rename(const struct guest *guest, const char *from, const char *to);
char *kexec_time_write(uint64_t at);
uint64_t kexec_time_read(void);
char *this_boot(void);
/* The unit of the guest starts its VMM so that it waits for the state, from env_write() on. */
char *env_write(const struct guest *guest);
void env_remove(const struct guest *guest);
void remove_file(const char *path);

/* workers.c: a process for each guest */
typedef void (*worker)(struct guest *guest, int in, int out);

#define TO_GO_ON	'c'	/* commands to the processes that save */
#define TO_QUIT		'q'

void workers_start(struct guests *g, worker work);
void workers_tell(struct guests *g, char command);
/* Waits until each of them has reported an end. Returns how many have failed. */
size_t workers_wait(struct guests *g);
void workers_end(struct guests *g);
/* For the processes. */
void report_progress(int out, const char *fmt, ...) attribute((format(printf, 2, 3)));
void report_moment(int out, struct guest *guest, enum moment m);
void report_end(int out, char *why);
/* For people. */
void progress(const char *fmt, ...) attribute((format(printf, 1, 2)));
extern atomic_bool interrupted;
extern uint64_t started;

/* preflight.c */
char *guest_look(struct guest *guest, struct pools *pools, struct qmp *q, uint64_t deadline,
		 char **note);
/* @quiet: tells of trouble only. With @j, all of it is written there instead. */
char *guests_look(struct guests *g, struct pools *pools, bool quiet, struct json_out *j);

/* save.c, resume.c */
char *guests_save(struct guests *g);
void guests_roll_back(struct guests *g);
char *guests_commit(struct guests *g);
size_t guests_resume(struct guests *g);
/* Lets a guest that was saved go on in the VMM that it has. */
char *guest_go_on(struct guest *guest, struct qmp *q);

/* report.c, report_svg.c */
struct phase {
	const char *name;
	const char *colour;
	const char *ink;	/* of a text on the colour */
	enum moment to;
};

extern const struct phase phases[];
extern const size_t nr_phases;

uint64_t phase_ms(const struct guest *guest, enum moment to);
char *report_svg(const struct guests *done, const struct guests *saved, const struct guests *lost,
		 const char *path);

/* kernel.c */
struct kernel {
	char *image;
	char *initrd;		/* NULL: none */
	char *command_line;
	bool checked;		/* it takes the pools over */
};

char *kernel_choose(struct kernel *k, const char *image, const char *initrd,
		    const char *command_line, const char *append);
/* Returns why @image does not take the pools over, or NULL; @said is what the program said. */
char *kernel_check(const char *image, char **said, int *status);
char *kernel_load(const struct kernel *k);
void kernel_unload(void);
char *kernel_start(void);

/* run.c: runs a program. Its last line of output is in @said. Returns its exit status. */
int run_program(char *const argv[], char **said);
/* The same with all of its output. */
int run_program_all(char *const argv[], char **said);
char *beside_me(const char *name);
int lock_updates(bool wait);

int cmd_list(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_check_kernel(int argc, char **argv);
int cmd_live_update(int argc, char **argv);
int cmd_save(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_report(int argc, char **argv);

#endif

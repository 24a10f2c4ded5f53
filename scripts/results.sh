# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Results: makes sure that only files that were made by these scripts are removed from OUT. A part
# of lib.sh, which sources this file.

# Checks that OUT may be used: it has to be new or empty, or to have the mark .guestmemfs-out, which
# lists the names that were made in it. The default, out/ of the clone, needs no mark.
own_out()
{
	out_mark=$OUT/.guestmemfs-out
	if [ "$OUT" != "$REPO/out" ] && [ -d "$OUT" ] && [ ! -e "$out_mark" ] &&
		[ -n "$(ls -A "$OUT")" ]; then
		die "OUT=$OUT has files in it that are not ours; give a new or an empty directory"
	fi
	if ! mkdir -p "$OUT" 2>/dev/null || [ ! -w "$OUT" ] ||
		! { : >>"$out_mark"; } 2>/dev/null; then
		die "OUT=$OUT cannot be written; set OUT= to another directory"
	fi
}

# own_name NAME: adds a file or directory of OUT to the mark; it is an error if NAME is there
# already and was not made by these scripts. To be called after own_out.
own_name()
{
	if [ "$OUT" != "$REPO/out" ] && [ -e "$OUT/$1" ] && ! grep -qxF -- "$1" "$out_mark"; then
		die "$OUT/$1 was not made by make; move it away, or set another OUT="
	fi
	grep -qxF -- "$1" "$out_mark" || printf '%s\n' "$1" >>"$out_mark"
}

# own_results NAME [keep]: makes the directory $OUT/NAME and takes its lock. Without "keep" the
# directory is emptied.
own_results()
{
	own_out
	lock "$OUT/all" shared
	lock "$OUT/${1%%/*}"
	# The script that held the lock may have been clean, which removes OUT and the mark.
	own_out
	own_name "${1%%/*}"
	[ -n "${2:-}" ] || rm -rf "${OUT:?}/$1"
	mkdir -p "$OUT/$1"
}

# results_boot DIR: sets $boot to a new directory in DIR for the files that machines boot from. It
# is removed when this script ends. Such directories of killed scripts are removed here, which is
# safe since this script holds the lock of DIR.
results_boot()
{
	rm -rf "$1"/.boot.*
	boot=$1/.boot.$$
	mkdir -p "$boot"
	# shellcheck disable=SC2016 # to be expanded at the end
	at_exit 'rm -rf "$boot"'
}

# ends_with_count DIR: if this script ends before it has written DIR/summary, "0 passed, 1 failed"
# is printed and written there. A summary of an earlier run is removed.
ends_with_count()
{
	count_file=$1/summary
	rm -f "$count_file"
	at_exit count_at_exit
	need_space "$1" 200 "what a check leaves" OUT
}

count_at_exit()
{
	[ -e "$count_file" ] || echo "0 passed, 1 failed" | tee "$count_file"
}

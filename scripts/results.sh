# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Results: OUT, of which nothing is removed that was not made here. A part of lib.sh, which
# sources it.

# OUT has to be new, empty, or to have this
# mark, which names what was made in it. The default, out/ of the clone, is ours as a whole.
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

# own_name NAME: of a file or directory in OUT, once own_out was called.
own_name()
{
	if [ "$OUT" != "$REPO/out" ] && [ -e "$OUT/$1" ] && ! grep -qxF -- "$1" "$out_mark"; then
		die "$OUT/$1 was not made by make; move it away, or set another OUT="
	fi
	grep -qxF -- "$1" "$out_mark" || printf '%s\n' "$1" >>"$out_mark"
}

# own_results NAME [keep]: $OUT/NAME is there and for this script alone, and empty without keep.
own_results()
{
	own_out
	lock "$OUT/all" shared
	lock "$OUT/${1%%/*}"
	# make clean may have been what was waited for.
	own_out
	own_name "${1%%/*}"
	[ -n "${2:-}" ] || rm -rf "${OUT:?}/$1"
	mkdir -p "$OUT/$1"
}

# results_boot DIR: $boot is a directory there for what machines are started from, and gone at
# the end. Those of scripts that were killed go now: DIR is held by this one.
results_boot()
{
	rm -rf "$1"/.boot.*
	boot=$1/.boot.$$
	mkdir -p "$boot"
	# shellcheck disable=SC2016 # at the end
	at_exit 'rm -rf "$boot"'
}

# ends_with_count DIR: from here on a script that dies does it with the line that all
# checks end with, and nothing of an earlier run is taken for its result.
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

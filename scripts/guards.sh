# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Protects runs against each other: the locks of the cache and of results; the lock that keeps the
# tree unchanged while it is read; and the code that, when a script ends, ends all processes that
# the script has started. Only lib.sh sources this file.

# The locks. A script that needs several takes them in this order:
#
#   OUT/all      shared: scripts that write results; exclusive: clean
#   OUT/NAME     the results in OUT/NAME
#   edit/NAME    the copy of a patch that is being edited
#   in-use       shared: scripts that use the cache; exclusive: clean-cache
#   build-KIND   the build directory of a kernel; several in the order of the names of their kinds
#   initramfs    the initramfs, and what it is made of
#   root         the private Debian roots, which do not depend on KDIR=
#   prepare      scripts that may prepare the tree
#   tree         shared: scripts that read the prepared tree; exclusive: scripts that change it
#
# GMFS_LOCKS has the names of all lock files that this script or one of its callers holds. A script
# does not take a lock again that is named there.
declare -A lock_fds=()

lock_file()
{
	case $1 in
	/*) printf '%s\n' "${1%/*}/.lock.${1##*/}" ;;
	in-use | root) printf '%s\n' "$CACHE/.lock.$1" ;;
	*) printf '%s\n' "$BASE/.lock.$1" ;;
	esac
}

# lock_holders FILE: prints, for a message, the processes that hold the lock file: the process that
# took the lock, or, if that one has ended, the processes that still have the file open, as far as
# this user may see them.
lock_holders()
{
	local pid fd comm found='' left=(/proc/[0-9]*/fd/*)

	pid=$(tail -n 1 "$1")
	if [ -n "$pid" ] && [ -d "/proc/$pid" ]; then
		printf 'process %s\n' "$pid"
		return
	fi
	for fd in "${left[@]}"; do
		pid=${fd#/proc/}
		pid=${pid%%/*}
		if [ "$fd" -ef "$1" ] && [[ ",$$,$BASHPID$found" != *",$pid"* ]]; then
			read -r comm 2>/dev/null <"/proc/$pid/comm" || continue
			found+=",$pid ($comm)"
		fi
	done
	found=${found#,}
	printf 'process %s\n' "${found//,/, }"
}

# flock_fd FD FILE NAME [-s]: takes the lock. If it has to wait, it prints a line first.
flock_fd()
{
	if ! flock -n ${4:+"$4"} "$1"; then
		say "waiting for $(lock_holders "$2"), which works on ${3##*/} in $(dirname "$2")"
		flock -w 5400 ${4:+"$4"} "$1" ||
			die "another make still works on ${3##*/} there; stop it, or set another" \
				"CACHE= and OUT="
	fi
}

lock_pid()
{
	: >"$2"
	{ echo $$ >&"$1"; } 2>/dev/null || case $2 in
	"$CACHE"/*) die "CACHE=$CACHE: the disk is full; free some, or set CACHE= elsewhere" ;;
	*) die "OUT=$OUT: the disk is full; free some, or set OUT= elsewhere" ;;
	esac
}

# lock NAME [shared]: takes a lock, which is held until "unlock" or until this script has ended.
lock()
{
	local name=$1 shared=${2:-} file fd

	file=$(lock_file "$name")
	case ${GMFS_LOCKS:-} in
	*":$file:"*) return 0 ;;
	*":$file=shared:"*)
		[ -n "$shared" ] || die "$name is held by a script that only reads it"
		return 0
		;;
	esac
	case $name in
	/* | in-use) ;;
	*) lock in-use shared ;;
	esac
	need flock
	while :; do
		mkdir -p "${file%/*}"
		exec {fd}>>"$file"
		flock_fd "$fd" "$file" "$name" ${shared:+-s}
		# The script that held the lock may have removed the file, as clean does. A lock on
		# the removed file is worth nothing: open the file again.
		[ ! "/proc/self/fd/$fd" -ef "$file" ] || break
		exec {fd}>&-
	done
	[ -n "$shared" ] || lock_pid "$fd" "$file"
	lock_fds[$file]=$fd
	export GMFS_LOCKS=${GMFS_LOCKS:-}:$file${shared:+=shared}:
	# The script that held the lock may have been clean-cache, which removes this directory.
	[ "$name" != in-use ] || mkdir -p "$BASE"
}

# unlock NAME: releases a lock, if it was taken by this script and not by a caller.
unlock()
{
	local file fd

	file=$(lock_file "$1")
	fd=${lock_fds[$file]:-}
	[ -n "$fd" ] || return 0
	exec {fd}>&-
	unset "lock_fds[$file]"
	GMFS_LOCKS=${GMFS_LOCKS//":$file:"/}
	GMFS_LOCKS=${GMFS_LOCKS//":$file=shared:"/}
}

# Releases all locks of the cache except in-use. To be called before something that runs for long.
unlock_all()
{
	local file

	for file in ${lock_fds[@]+"${!lock_fds[@]}"}; do
		case $file in
		*/.lock.in-use) ;;
		"$BASE"/.lock.* | "$CACHE"/.lock.*) unlock "${file##*/.lock.}" ;;
		esac
	done
}

# The sum of all that this clone adds to a tree: the overlay files and the patches.
sum_of_clone()
{
	{
		(cd "$REPO" && overlay_files |
			xargs -r sh -c 'sha256sum "$@" && stat -c "%a %n" "$@"' sh)
		(cd "$REPO/patches/linux-$KERNEL_SERIES" && sha256sum -- *)
	} | sha256sum | cut -d' ' -f1
}

# The sum of the files in the tree that prepare has added or patched.
sum_of_tree()
{
	{
		cat "$TREE"/.gmfs-{base,overlay,patched}
		sums_of_ours .
	} 2>&1 | sha256sum | cut -d' ' -f1
}

# A sum that changes when KDIR= changes: of the names, sizes and times of its files, except those
# that a build makes.
sum_of_kdir()
{
	[ -n "$KDIR" ] || return 0
	{
		git -C "$KDIR" ls-files -co --exclude-standard 2>/dev/null || true
		find "$KDIR" \( -name .git -o -path "$KDIR/include/config" -o \
			-path "$KDIR/*/generated" \) -prune -o \( -type f -o -type l \) \
			! -name '*.o' ! -name '*.a' ! -name '*.cmd' ! -name '*.ko' ! -name '*.mod' \
			! -name '*.mod.c' ! -name 'vmlinux*' -printf '%P %s %T@ %m\n' | sort
	} | sha256sum | cut -d' ' -f1
}

# prepared ours|base: succeeds if the tree is what prepare would make now; with base, if the tree
# without our work is so as well.
prepared()
{
	[ -f "$TREE/.gmfs-prepared" ] || return 1
	[ "$(cat "$TREE/.gmfs-prepared")" = "$(sum_of_clone) $(sum_of_tree) $(sum_of_kdir)" ] ||
		return 1
	[ "$1" != base ] ||
		[ "$(stamp_of_base)" = "$(cat "$TREE-base/.gmfs-stamp" 2>/dev/null)" ]
}

stamp_of_base()
{
	{
		cat "$TREE"/.gmfs-{base,patched,overlay}
		if [ -n "$KDIR" ]; then
			cut -d' ' -f3 "$TREE/.gmfs-prepared"
		fi
	} | sha256sum
}

# hold_tree ours|base: prepares the tree if necessary, and holds the lock "tree" shared, so that the
# tree stays unchanged until this script ends. A script may change the tree only with the lock held
# exclusively, and flock cannot convert between the two kinds of lock atomically. The lock "prepare"
# keeps other scripts from changing the tree in between.
hold_tree()
{
	local file fd

	file=$(lock_file tree)
	case ${GMFS_LOCKS:-} in
	*":$file=shared:"*) return 0 ;;
	esac
	need git
	need_clone
	lock prepare
	lock tree shared
	if ! prepared "$1"; then
		fd=${lock_fds[$file]}
		flock -u "$fd"
		flock_fd "$fd" "$file" tree
		lock_pid "$fd" "$file"
		GMFS_LOCKS=$GMFS_LOCKS:$file: "$REPO/scripts/prepare" "${1#ours}"
		flock_fd "$fd" "$file" tree -s
	fi
	unlock prepare
}

# hand_edits: prints the files of the prepared tree that are ours or patched and that were edited
# there by hand.
hand_edits()
{
	local sum f

	[ -f "$TREE/.gmfs-prepared" ] || return 0
	read -r _ sum _ <"$TREE/.gmfs-prepared"
	[ "$sum" != "$(sum_of_tree)" ] || return 0
	sort -u "$TREE/.gmfs-overlay" "$TREE/.gmfs-patched" | while IFS= read -r f; do
		[ ! "$TREE/$f" -nt "$TREE/.gmfs-prepared" ] || printf '%s\n' "$f"
	done
}

# refuse_hand_edits: prepare writes over an edit in the prepared tree; a person is asked before.
refuse_hand_edits()
{
	local edits

	edits=$(hand_edits | paste -sd' ')
	[ -z "$edits" ] ||
		die "edited in the prepared tree $TREE, where every build writes over it: $edits;" \
			"copy what you want to keep, and run scripts/prepare"
}

# still STAMP COMMAND...: fails if the command does not print STAMP any more, that is, if a source
# has changed since the build of something has begun. The lock keeps out other scripts, but not an
# editor.
still()
{
	[ "$1" = "$("${@:2}")" ] ||
		die "the tree in $BASE has changed while it was in use; leave it alone," \
			"and try again"
}

# at_exit COMMAND: runs this line of shell when the script ends, also by an error or a signal, after
# all processes that the script has started have ended.
at_exit_do=()
at_exit()
{
	at_exit_do+=("$1")
}

# Prints all descendants of this script, except the subshell that looks for them, with the time at
# which each has started. The time tells a process from a later one with the same process id.
descendants()
{
	cat /proc/[0-9]*/stat 2>/dev/null | awk -v top=$$ -v self="$BASHPID" '
		{ pid = $1; sub(/^.*\) /, ""); parent[pid] = $2; start[pid] = $20 }
		END {
			for (pid in parent) {
				for (p = pid; p > 1 && p != top && p != self; p = parent[p])
					;
				if (p == top && pid != top)
					print pid, start[pid]
			}
		}'
}

# signalled SIGNAL "PID START"...: sends the signal to those processes that still exist; fails if
# none of them does.
signalled()
{
	local signal=$1 one stat there=1
	shift

	for one; do
		read -r stat 2>/dev/null <"/proc/${one% *}/stat" || continue
		read -ra stat <<<"${stat##*) }"
		if [ "${stat[0]}" != Z ] && [ "${stat[19]}" = "${one#* }" ]; then
			kill -s "$signal" "${one% *}" 2>/dev/null && there=0
		fi
	done
	return $there
}

# Ends all descendants of this script. A signal that ends the shell does not end its children, and
# those hold the shell's locks, too, by their open files.
end_children()
{
	local children='' left stopped='' i

	if [ -e "/proc/$$/task/$$/children" ]; then
		read -r children <"/proc/$$/task/$$/children" || true
		[ -n "$children" ] || return 0
	fi
	# Stop all of them before any is ended, or they could start new processes meanwhile.
	for ((i = 0; i < 20; i++)); do
		mapfile -t left < <(descendants)
		[ "${left[*]}" != "$stopped" ] || break
		signalled STOP ${left[@]+"${left[@]}"} || return 0
		stopped=${left[*]}
	done
	signalled TERM "${left[@]}" || return 0
	signalled CONT "${left[@]}" || return 0
	for ((i = 0; i < 100; i++)); do
		sleep 0.1
		signalled 0 "${left[@]}" || return 0
	done
	signalled KILL "${left[@]}"
}

ended()
{
	local command

	trap '' INT TERM HUP
	end_children || true
	for command in ${at_exit_do[@]+"${at_exit_do[@]}"}; do
		eval "$command" || true
	done
}
trap ended EXIT

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What keeps runs apart: the locks of the cache and of results, the tree that stays as it is
# while it is read, and the end of what a script has started. lib.sh sources this; nothing else
# does.

# The locks, in the order in which who needs several takes them:
#
#   OUT/all      shared by everything that writes results, exclusive in clean
#   OUT/NAME     of results, by their path
#   in-use       shared by everything that uses the cache, exclusive in clean-cache
#   build-KIND   in the order of the names of their kinds
#   initramfs
#   root         the private Debian roots, whatever KDIR= is
#   prepare      by who may prepare the tree
#   tree         shared by who reads the prepared tree, exclusive by who changes it
#
# A script called by one that holds a lock finds it in GMFS_LOCKS.
declare -A lock_fds=()

lock_file()
{
	case $1 in
	/*) printf '%s\n' "${1%/*}/.lock.${1##*/}" ;;
	in-use | root) printf '%s\n' "$CACHE/.lock.$1" ;;
	*) printf '%s\n' "$BASE/.lock.$1" ;;
	esac
}

# The processes that have the lock file $1, as far as one may look, for a message: the one that
# took it, or what it has left behind.
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

# flock_fd FD FILE NAME [-s]: waits for it, and says so.
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

# lock NAME [shared]
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
		# Who had it may have removed the file with all that is beside it.
		[ ! "/proc/self/fd/$fd" -ef "$file" ] || break
		exec {fd}>&-
	done
	[ -n "$shared" ] || lock_pid "$fd" "$file"
	lock_fds[$file]=$fd
	export GMFS_LOCKS=${GMFS_LOCKS:-}:$file${shared:+=shared}:
	# clean-cache may have been what was waited for.
	[ "$name" != in-use ] || mkdir -p "$BASE"
}

# unlock NAME: a lock that this script has taken itself.
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

# Before something is started that may run for long: all locks of the cache but in-use.
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

# What this clone puts over a tree, as one sum; and of a tree, what has been put there.
sum_of_clone()
{
	{
		(cd "$REPO" && overlay_files |
			xargs -r sh -c 'sha256sum "$@" && stat -c "%a %n" "$@"' sh)
		(cd "$REPO/patches/linux-$KERNEL_SERIES" && sha256sum -- *)
	} | sha256sum | cut -d' ' -f1
}

sum_of_tree()
{
	{
		cat "$TREE"/.gmfs-{base,overlay,patched}
		sums_of_ours .
	} 2>&1 | sha256sum | cut -d' ' -f1
}

# What tells that KDIR= has changed: names, sizes and times, but for what a build leaves there.
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

# prepared ours|base: is the tree, and with base the one without our work, what prepare would make?
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

# hold_tree ours|base: the tree is prepared, and stays as it is until this script ends. Who has
# the tree shared may not change it, and flock does not turn one kind of lock into the other in
# one step; but for that step the lock "prepare" keeps away who would.
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

# still STAMP COMMAND...: the command says what it said before something was made. The lock
# keeps out those that ask for it, not an editor.
still()
{
	[ "$1" = "$("${@:2}")" ] ||
		die "the tree in $BASE has changed while it was in use; leave it alone," \
			"and try again"
}

# at_exit COMMAND: a line of shell for the end of this script, however that comes, once
# everything that the script has started is gone.
at_exit_do=()
at_exit()
{
	at_exit_do+=("$1")
}

# All descendants of this script, but for what looks for them, each with the time of its start,
# which a process that gets the number later does not have.
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

# signalled SIGNAL "PID START"...: sends it to those that are still there; fails if none is.
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

# A signal ends the shell but not what runs in its foreground, and that has its locks.
end_children()
{
	local children='' left stopped='' i

	if [ -e "/proc/$$/task/$$/children" ]; then
		read -r children <"/proc/$$/task/$$/children" || true
		[ -n "$children" ] || return 0
	fi
	# Stopped first, or new ones would come while the others go.
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

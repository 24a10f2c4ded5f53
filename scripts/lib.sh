# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The common part of all scripts: the settings, their validation, and the functions that print
# messages. guards.sh has the locks, results.sh the functions for OUT. Sourced, never run.

set -euo pipefail
export LC_ALL=C
umask 022

# Unset variables that a kernel developer, or git when it runs a hook, may have in the environment.
# They would change the build (another architecture, compiler or repository), and the stamps, which
# do not cover them, would be wrong.
while IFS= read -r name; do
	case $name in
	ARCH | SUBARCH | SRCARCH | CROSS_COMPILE* | LLVM* | CC | CXX | CPP | LD | AR | NM | AS | \
		OBJCOPY | OBJDUMP | READELF | STRIP | RUSTC | PAHOLE | HOSTCC | HOSTCXX | HOSTLD | \
		HOSTAR | HOSTRUSTC | *CFLAGS* | *CPPFLAGS | *CXXFLAGS | *AFLAGS* | *LDFLAGS* | \
		*RUSTFLAGS* | KCONFIG_* | KBUILD_* | KHDR_INCLUDES | LDLIBS | LOCALVERSION | \
		INSTALL_* | CONFIG_* | O | C | CF | CHECK | W | V | M | KERNELRELEASE | CPATH | \
		C_INCLUDE_PATH | LIBRARY_PATH | GCC_EXEC_PREFIX | COMPILER_PATH | LD_RUN_PATH | \
		DEPENDENCIES_OUTPUT | SUNPRO_DEPENDENCIES | GIT_* | TAR_OPTIONS | XZ_OPT | \
		XZ_DEFAULTS | GREP_OPTIONS | POSIXLY_CORRECT | CDPATH)
		case $name in
		GIT_AUTHOR_* | GIT_COMMITTER_* | GIT_CONFIG_* | GIT_CEILING_DIRECTORIES) ;;
		*) unset "$name" ;;
		esac
		;;
	esac
done < <(compgen -e)

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
KERNEL_SERIES=7.3
# The version that the patches are made for.
# shellcheck disable=SC2034 # used by those who source this
KERNEL_TESTED=7.3.4

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# step TEXT: prints the time and the text.
step()
{
	printf '[%s] %s\n' "$(date +%H:%M:%S)" "$*"
}

# make passes its own settings to a make that it starts through these variables. The kernel's make
# must not get them.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES

[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] ||
	die "this builds and runs on Linux on x86_64 only, not on $(uname -s) on $(uname -m)"

CACHE=${CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/guestmemfs}
KDIR=${KDIR:-}
ACCEL=${ACCEL:-tcg}
JOBS=${JOBS:-$(nproc)}

[[ $CACHE = /* ]] || die "CACHE=$CACHE must be an absolute path"
[[ $CACHE =~ ^[A-Za-z0-9_./+@-]+$ ]] ||
	die "CACHE=$CACHE: the kernel's build takes only letters, digits and _./+@- in a path"
[[ $REPO =~ ^[A-Za-z0-9_./+@-]+$ ]] ||
	die "this directory, $REPO, has a character in its path that the kernel's build cannot take"
[[ $JOBS =~ ^[1-9][0-9]{0,3}$ ]] || die "JOBS=$JOBS must be a number from 1 to 9999"

case $ACCEL in
tcg) ;;
kvm)
	if [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
		die "ACCEL=kvm needs /dev/kvm, read and write; join the group kvm, or use ACCEL=tcg"
	fi
	;;
*) die "ACCEL=$ACCEL must be tcg or kvm" ;;
esac

# tree_version DIR: prints the version of a Linux tree; fails if DIR is none.
tree_version()
{
	[ -f "$1/Makefile" ] && [ -d "$1/kernel" ] && [ -d "$1/arch/x86" ] || return 1
	sed -n 's/^VERSION = //p;s/^PATCHLEVEL = //p;s/^SUBLEVEL = //p' "$1/Makefile" | head -n 3 |
		paste -sd.
}

# check_tree_version DIR WHAT: prints the version of the tree; it is an error if DIR, which messages
# call WHAT, is not a Linux tree of the series that we have patches for.
check_tree_version()
{
	local version

	version=$(tree_version "$1") || die "$2 is not a Linux source tree"
	[[ $version = "$KERNEL_SERIES".* ]] ||
		die "$2 is Linux $version; this work is against $KERNEL_SERIES.x"
	printf '%s\n' "$version"
}

# Each tree that is given with KDIR= has a directory of its own in the cache, so that changing to
# another tree and back rebuilds nothing.
BASE=$CACHE
if [ -n "$KDIR" ]; then
	[ -d "$KDIR" ] || die "KDIR=$KDIR is not a directory"
	KDIR=$(cd "$KDIR" && pwd -P)
	check_tree_version "$KDIR" "KDIR=$KDIR" >/dev/null
	BASE=$CACHE/kdir-$(printf '%s' "$KDIR" | sha256sum | cut -c1-12)
	case $KDIR/ in
	"$BASE"/*) die "KDIR=$KDIR lies in the cache; give a tree of your own" ;;
	esac
fi

# Let git read a clone that belongs to another user, as in a container that shares it with its host.
export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_KEY_1=safe.directory
export GIT_CONFIG_VALUE_0=$REPO GIT_CONFIG_VALUE_1=${KDIR:-$REPO}

# Whole directories of the cache are removed by name, so the cache must not be a directory with
# files of others: it has to be new or empty, or to have the mark .guestmemfs, which is made then. A
# cache that an older version of the scripts has made has no mark, but the lock file .lock.tree.
refuse_cache()
{
	case $(realpath -m -- "$1") in
	/) die "CACHE=$1 is the root directory, which is not one for a cache" ;;
	"$(realpath -m -- "${HOME:-/}")") die "CACHE=$1 is a home directory, not one for a cache" ;;
	esac
}

refuse_removal()
{
	[[ $(realpath -m -- "$1") = /*/* ]] ||
		die "CACHE=$1 is right under the root; remove it by hand"
}

CACHE=${CACHE%/}
refuse_cache "${CACHE:-/}"
mark=$CACHE/.guestmemfs
if [ -n "${without_cache:-}" ]; then
	:
elif [ -d "$CACHE" ] && [ ! -e "$mark" ] && [ ! -e "$CACHE/.lock.tree" ] &&
	[ -n "$(ls -A "$CACHE" 2>/dev/null)" ]; then
	die "CACHE=$CACHE has files in it that are not ours; give a new or an empty directory"
elif ! mkdir -p "$CACHE" "$BASE" 2>/dev/null || [ ! -w "$CACHE" ] || ! : >>"$mark"; then
	die "CACHE=$CACHE cannot be written; set CACHE= to a directory that can"
fi

# shellcheck disable=SC2034 # used by those who source this
TREE=$BASE/tree
OUT=${OUT:-$REPO/out}
[[ $OUT = /* ]] || OUT=$PWD/$OUT
[ "$OUT" = / ] || OUT=${OUT%/}
[[ $OUT =~ ^[A-Za-z0-9_./+@-]+$ ]] ||
	die "OUT=$OUT: only letters, digits and _./+@- may be in this path"
export CACHE KDIR ACCEL JOBS OUT
# All kernels together need a tenth of this.
export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-2G}

KERNEL_DIRS="arch block crypto drivers fs include init io_uring ipc kernel lib mm net security
	tools virt Documentation"

# The list of our files comes from git, so this repository must be a git clone.
need_clone()
{
	git -C "$REPO" rev-parse --is-inside-work-tree >/dev/null 2>&1 ||
		die "$REPO is no git clone, and an archive of one does not do; clone the repository"
}

# Prints the files of this repository that are added to a kernel tree, one path a line. Files that
# git ignores (build output) are left out; files not yet added to git are included.
overlay_files()
{
	local dirs=() d

	for d in $KERNEL_DIRS; do
		if [ -d "$REPO/$d" ]; then
			dirs+=("$d")
		fi
	done
	[ ${#dirs[@]} -gt 0 ] || return 0
	git -C "$REPO" ls-files -co --exclude-standard -- "${dirs[@]}" | while IFS= read -r d; do
		if [ -f "$REPO/$d" ]; then
			printf '%s\n' "$d"
		fi
	done | sort -u
}

# series_patches: the array patches has the names of the patches, in the order of their series.
SERIES_DIR=$REPO/patches/linux-$KERNEL_SERIES
series_patches()
{
	local p

	patches=()
	[ -f "$SERIES_DIR/series" ] || return 0
	while IFS= read -r p; do
		p=${p%%#*}
		p=${p%"${p##*[![:space:]]}"}
		[ -n "$p" ] || continue
		[ -f "$SERIES_DIR/$p" ] ||
			die "patches/linux-$KERNEL_SERIES/series names $p, which is not there:" \
				"add it, or take the name out"
		patches+=("$p")
	done <"$SERIES_DIR/series"
}

# touched PATCH: the files that a patch touches, as paths of the tree.
touched()
{
	sed -n 's,^+++ b/\([^\t]*\).*,\1,p;s,^--- a/\([^\t]*\).*,\1,p' "$1" | sort -u
}

# sums_of_ours REGEX: prints the sums of those files of the prepared tree that are ours or patched
# and whose paths match; for stamps.
sums_of_ours()
{
	(
		cd "$TREE"
		awk -v re="$1" '$0 ~ re' .gmfs-overlay .gmfs-patched | sort | xargs -r sha256sum
	)
}

# state_of_base FIND-EXPRESSION...: prints the state of the base tree, for stamps. For Debian's tree
# that is its version; for a tree given with KDIR= the sums of the files that find finds are added.
state_of_base()
{
	cat "$TREE/.gmfs-base"
	[ -n "$KDIR" ] || return 0
	(cd "$TREE" && find "$@" -type f -print0 2>/dev/null | sort -z |
		xargs -0 -r sha256sum) || true
}

# kernel_make KIND: sets the array kmake to the make command for that kernel, without arguments. For
# base and steps, the tree without our work or that of check-series is mounted over $TREE for this
# make alone, if mounting is allowed: ccache's keys depend on the paths, so with the paths of our
# tree most objects are in its cache.
kernel_make()
{
	local private

	kmake=(make -C "$TREE")
	case $1 in
	base | steps) ;;
	*) return 0 ;;
	esac
	for private in "--mount" "--map-root-user --mount"; do
		# shellcheck disable=SC2016,SC2206 # the inner shell expands it; $private is a list
		kmake=(unshare $private sh -c 'mount --bind "$0" "$1" && shift && exec "$@"'
			"$TREE-$1" "$TREE")
		if "${kmake[@]}" true 2>/dev/null; then
			kmake+=(make -C "$TREE")
			return 0
		fi
	done
	# shellcheck disable=SC2034 # used by those who source this
	kmake=(make -C "$TREE-$1")
}

# need TOOL...: ends the script if one of these commands is missing.
need()
{
	local tool missing=()

	for tool; do
		command -v "$tool" >/dev/null || missing+=("$tool")
	done
	[ ${#missing[@]} -eq 0 ] || die "missing: ${missing[*]}; run scripts/setup"
}

# need_space DIR MIB WHAT [SETTING]: ends the script if DIR has less free space than WHAT needs, so
# that the disk does not fill up halfway. The message tells to change SETTING (CACHE).
need_space()
{
	local dir=$1 want=$2 other=${4:-CACHE}= have

	have=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
	[ "$have" -ge "$want" ] ||
		die "$dir: $3 needs $want MiB, $have are free; free some, or set $other elsewhere"
}

# shellcheck source=scripts/guards.sh
. "$REPO/scripts/guards.sh"
# shellcheck source=scripts/results.sh
. "$REPO/scripts/results.sh"

# install_text FILE: replaces the file by the standard input, atomically, and only if they differ.
install_text()
{
	local file=$1 tmp=$1.tmp.$$

	cat >"$tmp"
	if cmp -s "$tmp" "$file"; then
		rm -f "$tmp"
	else
		mv -f "$tmp" "$file"
	fi
}

# run_logged WHAT LOG AWK COMMAND...: runs a long command with its output in the file LOG and shows
# the progress: a line with WHAT, the output of the awk program AWK on LOG, and the elapsed time. On
# a terminal that line is updated every two seconds, elsewhere one is printed each minute. If the
# command fails, the script ends with a line that has the reason, if LOG has one, and $otherwise,
# which tells what to do.
run_logged()
{
	local what=$1 log=$2 far=$3 pid start=$SECONDS last=$SECONDS rc=0 every=60 cr='\n' why
	shift 3

	if [ -t 1 ]; then
		every=2
		cr='\r'
	fi
	: >"$log"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	# On a signal, exit: the EXIT trap in guards.sh ends the command and its descendants.
	trap 'exit 130' INT TERM HUP
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.5
		if [ $((SECONDS - last)) -ge $every ]; then
			last=$SECONDS
			# shellcheck disable=SC2059 # the end of line is ours
			printf "[%s] %s: %s, %d s   $cr" "$(date +%H:%M:%S)" "$what" \
				"$(awk "$far" "$log")" $((SECONDS - start))
		fi
	done
	wait "$pid" || rc=$?
	trap - INT TERM HUP
	if [ $rc -eq 0 ]; then
		step "$what: done in $((SECONDS - start)) s        "
		return 0
	fi
	say ""
	{ grep -nE -m 20 'error:|Error [0-9]|No space|undefined|fatal|^E: ' "$log" ||
		tail -n 30 "$log"; } | sed 's/^/    /' >&2
	if grep -q 'No space left on device' "$log"; then
		die "$what: the disk is full; free some, or set CACHE= elsewhere (log: $log)"
	fi
	# If the command was one of our scripts, its error tells what to do.
	why=$(sed -n 's/^error: //p' "$log" | tail -n 1)
	[ -z "$why" ] || die "$what: $why"
	why=$(sed -n 's/^E: //p' "$log" | tail -n 1)
	die "$what failed (${why:-exit $rc}); ${otherwise:-see $log}"
}

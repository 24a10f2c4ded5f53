# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Room for test machines on this host, whichever scripts start them, and how slow it is. Sourced
# by what starts machines.
#
#   MACHINES       how many may run at once (half as many as there are processors, but two of two)
#   SLOW           how many times slower than usual this host is; found out where it is not given
#   GMFS_MEMINFO, GMFS_CGROUP, GMFS_GRACE
#                  instead of /proc/meminfo, the cgroup of this process, and the 60 seconds for
#                  which memory that is lacking is waited for, for tests of this file

machine_places()
{
	local n

	n=$(nproc)
	if [ "$n" -ge 4 ]; then
		n=$((n / 2))
	elif [ "$n" -gt 2 ]; then
		n=2
	fi
	n=${MACHINES:-$n}
	[[ $n =~ ^[1-9][0-9]{0,2}$ ]] || die "MACHINES=$n must be a number from 1 to 999"
	echo "$n"
}

# The MiB that a cgroup has left; what it keeps of files that nobody uses can be had.
cgroup_room()
{
	local max now cached

	max=$(cat "$1/memory.max" 2>/dev/null || cat "$1/memory.limit_in_bytes" 2>/dev/null) ||
		return 1
	[[ $max =~ ^[0-9]{1,15}$ ]] || return 1
	now=$(cat "$1/memory.current" 2>/dev/null || cat "$1/memory.usage_in_bytes")
	cached=$(awk '$1 ~ /^(total_)?inactive_file$/ { n = $2 } END { print n + 0 }' \
		"$1/memory.stat")
	echo $(((max - now + cached) / 1048576))
}

# The MiB of memory that can be had on this machine, and in the cgroups around this process.
memory_available()
{
	local dir least room

	least=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' "${GMFS_MEMINFO:-/proc/meminfo}")
	dir=${GMFS_CGROUP:-/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup 2>/dev/null)}
	while [ -n "$dir" ]; do
		for room in "$dir" "$dir/memory"; do
			if room=$(cgroup_room "$room") && [ "$room" -lt "$least" ]; then
				least=$room
			fi
		done
		dir=${dir%/*}
	done
	echo "$least"
}

# nodes_mib A,B..: the memory of a machine with such nodes, as vm --nodes has them.
nodes_mib()
{
	local size total=0

	for size in ${1//,/ }; do
		size=${size%-}
		case $size in
		*G) total=$((total + ${size%G} * 1024)) ;;
		*M) total=$((total + ${size%M})) ;;
		esac
	done
	echo $total
}

# machine_mib TOTAL DEBUG: how much of that the host has to have. No test touches all of its
# machine's memory; the debug kernel does with an eighth of it for KASAN, and with more.
machine_mib()
{
	local most=3072

	[ -z "$2" ] || most=6144
	echo $(($1 < most ? $1 : most))
}

# The MiB in memory of a process and of all below it. No process is started for that: it could be
# one of those.
tree_mib()
{
	local pids=("$1") i=0 children key n sum=0

	while [ $i -lt ${#pids[@]} ]; do
		while read -r key n _; do
			[ "$key" != VmRSS: ] || sum=$((sum + n))
		done 2>/dev/null <"/proc/${pids[i]}/status" || true
		read -ra children 2>/dev/null <"/proc/${pids[i]}/task/${pids[i]}/children" || true
		pids+=(${children[@]+"${children[@]}"})
		children=() i=$((i + 1))
	done
	echo $((sum / 1024))
}

# try_place MIB FIRST LAST: a place of those numbers for a machine, and memory for it besides what
# other machines will want: a lock that is held as long as this process, or one that it has
# started, has the file open. Else running, available and claimed say why there is none.
try_place()
{
	local i fd gate free='' pid mib place=''

	exec {gate}>>"$places.gate"
	flock "$gate"
	running=0 claimed=0
	for ((i = $2; i <= $3; i++)); do
		exec {fd}>>"$places.$i"
		if flock -n "$fd" && [ -z "$place" ]; then
			free=$fd place=$places.$i
			continue
		fi
		# One that is not needed, or that a machine holds.
		if ! flock -n "$fd"; then
			running=$((running + 1))
			read -r pid mib <"$places.$i" || mib=0
			mib=$((mib - $(tree_mib "${pid:-0}")))
			claimed=$((claimed + (mib > 0 ? mib : 0)))
		fi
		exec {fd}>&-
	done
	available=$(memory_available)
	if [ -n "$place" ] && [ $(($1 + claimed)) -gt "$available" ]; then
		exec {free}>&-
		place=
	fi
	[ -z "$place" ] || echo "$$ $1" >"$place"
	exec {gate}>&-
	[ -n "$place" ]
}

# take_place MIB [FIRST LAST]: waits for a place. Where no machine runs and there is too little
# memory all the same, that is the end.
take_place()
{
	local since=$SECONDS said='' places=$CACHE/.lock.machine running available claimed

	until try_place "$1" "${2:-1}" "${3:-$(machine_places)}"; do
		[ "$running" -eq 0 ] || since=$SECONDS
		[ $((SECONDS - since)) -lt "${GMFS_GRACE:-60}" ] || no_memory "$1" "$available"
		[ -n "$said" ] || say "waiting for a place: $running machines run and may take" \
			"$claimed MiB more, $available MiB are available, this one needs $1"
		said=1
		sleep 0.5
	done
}

# has_memory MIB: says at once that such a machine would wait for its place in vain.
has_memory()
{
	local places=$CACHE/.lock.machine why running available claimed

	why=$(try_place "$1" 1 "$(machine_places)" || echo "$running $available")
	[[ $why != "0 "* ]] || no_memory "$1" "${why#* }"
}

no_memory()
{
	die "a test machine needs $1 MiB of memory, and $2 MiB are available:" \
		"stop something, or raise the limit of the container"
}

# host_tsc_khz: how fast the time stamp counter of this host is, which an emulated processor has
# as well. A kernel that measures the counter against the emulated PIT, on a busy host, may find
# a fiftieth of that rate, and all clocks of the machine are fifty times too fast then.
host_tsc_khz()
{
	local bin

	[ "$(uname -m)" = x86_64 ] || return 0
	if [ -z "${TSC_KHZ:-}" ]; then
		need gcc
		bin=$(mktemp) || die "there is no room for a temporary file"
		if gcc -O2 -o "$bin" "$REPO/scripts/tsc-khz.c"; then
			TSC_KHZ=$("$bin") || TSC_KHZ=
		fi
		rm -f "$bin"
	fi
	[[ ${TSC_KHZ:-} =~ ^[1-9][0-9]{5,7}$ ]] ||
		die "TSC_KHZ='${TSC_KHZ:-}' must be the rate of the time stamp counter, in kHz"
	export TSC_KHZ
}

# host_slowness: 1 on a host like those that the time limits were made on, 2 on one that takes up
# to twice as long, and so on, by the processor time of something small.
host_slowness()
{
	local TIMEFORMAT=%U i=0 took

	if [ -z "${SLOW:-}" ]; then
		took=$({ time while ((i < 200000)); do ((i += 1)); done; } 2>&1)
		took=$((10#${took/./}))
		# Milliseconds; half as much again is nothing to speak of.
		SLOW=$(((took + 399) / 400))
		SLOW=$((SLOW < 1 ? 1 : SLOW > 9 ? 9 : SLOW))
	fi
	[[ $SLOW =~ ^[1-9][0-9]?$ ]] || die "SLOW=$SLOW must be a number from 1 to 99"
	export SLOW
}

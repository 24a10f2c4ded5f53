# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Limits the test machines on this host, by number and memory, and measures how slow the host is.
# All scripts that start machines source this file, so the limits hold for all of them together.
#
#   MACHINES       how many may run at once (half the number of processors; two on a host with two
#                  or three processors, one on a host with one)
#   SLOW           how many times slower than usual this host is (default: measured)
#   GMFS_MEMINFO, GMFS_CGROUP, GMFS_GRACE
#                  for tests of this file: replace /proc/meminfo, the cgroup of this process, and
#                  the 60 seconds for which a machine waits for memory while no other machine runs

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

# cgroup_room DIR: prints the MiB that a cgroup may still allocate. Inactive page cache counts as
# free, since the kernel reclaims it when the limit is reached.
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

# Prints the MiB of memory that a process may allocate: the least of what this host and the cgroups
# of this process have available.
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

# nodes_mib A,B..: prints the MiB of all nodes of a machine, given as for vm --nodes.
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

# machine_mib TOTAL DEBUG [NEEDS]: prints how many MiB the host must have for a machine with TOTAL
# MiB. Few tests touch all of their machine's memory: 3 GiB are enough for the others, and 6 GiB
# with the debug kernel, which uses an eighth of the memory for KASAN's shadow, and more for other
# checks. NEEDS is the memory that any other test names in VM_NEEDS, as 9G.
machine_mib()
{
	local most=3072

	[ -z "$2" ] || most=6144
	[ -z "${3:-}" ] || most=$(nodes_mib "$3")
	echo $(($1 < most ? $1 : most))
}

# tree_mib PID: prints the resident MiB of a process and all its descendants. This function starts
# no process, since that could be one of those descendants.
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

# try_place MIB FIRST LAST: tries to get a place for a machine: one of the lock files with the
# numbers FIRST to LAST, if there is enough memory for this machine besides the memory that running
# machines may yet allocate. The place is held until this process and all processes that it has
# started have closed the file. If there is none, $running, $available and $claimed tell why: the
# number of running machines, the MiB available, and the MiB that running machines may yet allocate.
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
		# Either a free place that is not needed, or one that a machine holds.
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

# take_place MIB [FIRST LAST]: waits for a place. It is an error if there has been too little memory
# for a minute although no machine runs.
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

# has_memory MIB: ends the script if no machine runs and there is too little memory for this one, so
# that it would wait in vain.
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

# host_tsc_khz: sets TSC_KHZ to the rate of this host's time stamp counter, which is the rate of the
# emulated processors' counters, too. The kernel of a machine gets it on the command line. If it
# measured the rate itself, against the emulated PIT, it could find a fiftieth of the real rate on a
# busy host, and all clocks of the machine would then be fifty times too fast.
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

# host_slowness: sets SLOW, the factor for time limits, by the processor time that a small loop
# takes: 1 on a host as fast as those for which the limits were chosen, 2 on one that takes up to
# about twice as long, and so on.
host_slowness()
{
	local TIMEFORMAT=%U i=0 took

	if [ -z "${SLOW:-}" ]; then
		took=$({ time while ((i < 200000)); do ((i += 1)); done; } 2>&1)
		took=$((10#${took/./}))
		# In milliseconds. The divisor leaves a margin of a half over the usual time.
		SLOW=$(((took + 399) / 400))
		SLOW=$((SLOW < 1 ? 1 : SLOW > 9 ? 9 : SLOW))
	fi
	[[ $SLOW =~ ^[1-9][0-9]?$ ]] || die "SLOW=$SLOW must be a number from 1 to 99"
	export SLOW
}

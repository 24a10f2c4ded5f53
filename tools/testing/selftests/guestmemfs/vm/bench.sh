# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for the benchmarks: VM tests that scripts/bench and scripts/bench-liveupdate run. Each
# result is a line in /out/measured: SYSTEM WHAT N VALUE, or for a live update SYSTEM ENTRY
# GUEST-BYTES POOL-BYTES WHAT NS TICKS. TICKS are those of the time stamp counter, which counts
# instructions if the machine's clock depends on them.

# Read the counter at the start of a generation, before other commands take time.
vm_arrived=$(/selftests/filetool tsc)

# result SYSTEM WHAT N VALUE: adds a result.
result()
{
	echo "$*" >>/out/measured
}

# results_of PROGRAM ARGS...: adds the results that a program prints.
results_of()
{
	vm_prog=$1
	shift
	"/selftests/$vm_prog" "$@" >>/out/measured
}

# Prints the ticks from the last command in the previous kernel to the first command in this one.
ticks_since_hop()
{
	echo $((vm_arrived - $(cat "$STATE/left")))
}

# Prints the instructions from this kernel's start until the first process, on a machine whose clock
# advances by a nanosecond with each instruction. The kernel's log counts from before the struct
# pages are made.
boot_instructions()
{
	echo 1 >/sys/module/printk/parameters/time
	dmesg | awk '/\] Run \/init as init process/ { gsub(/[][]/, ""); printf "%.0f", $1 * 1e9 }'
}

# bytes SIZE: prints a size with a unit as a number.
bytes()
{
	case $1 in
	*K) echo $((${1%K} << 10)) ;;
	*M) echo $((${1%M} << 20)) ;;
	*G) echo $((${1%G} << 30)) ;;
	*) echo "$1" ;;
	esac
}

# measured WHAT NS TICKS: adds a result for $SYSTEM, $ENTRY and $RAM in a pool of $POOL bytes.
measured()
{
	echo "$SYSTEM $(bytes "$ENTRY") $(bytes "$RAM") $POOL $*" >>/out/measured
}

# Measures from the last command in the previous kernel to the first command in this one.
measured_hop()
{
	vm_ticks=$(ticks_since_hop)
	vm_mhz=$(dmesg | sed -n 's/.*tsc: Detected \([0-9.]*\) MHz.*/\1/p' | head -n 1)
	vm_ns=$(awk -v t="$vm_ticks" -v mhz="$vm_mhz" 'BEGIN { printf "%.0f", t * 1000 / mhz }')
	measured kexec_to_init "$vm_ns" "$vm_ticks"
}

# measured_in FILE WHAT NUMBER: adds the shortest time that luotool has reported, which is the one
# least disturbed by other work of the host.
measured_in()
{
	vm_line=$(grep "^$2 $3 ns [0-9]* ticks [0-9]*\$" "$1" | sort -n -k4 | head -n 1)
	if [ -z "$vm_line" ]; then
		echo "nothing was measured of $2 $3"
		return 1
	fi
	# shellcheck disable=SC2086 # words
	set -- $vm_line
	measured "$1" "$4" "$6"
}

# small COMMAND: prints the command for each of four small files, whose number replaces %. They are
# preserved and retrieved before the measurement, because an emulator translates code when it runs
# for the first time.
small()
{
	for vm_n in 0 1 2 3; do
		echo "$1" | sed "s/%/$vm_n/g"
	done
}

# thrice: preserves the file called ram three times, and keeps the last preservation.
thrice()
{
	for vm_n in 1 2; do
		printf '%s\n' "create again" "preserve again 9 ram" "close again"
	done
	echo "preserve bench 9 ram"
}

# preserved: runs the commands on standard input, which preserve files and hold the session.
preserved()
{
	held outgoing 3000 && measured_in /tmp/held.outgoing preserve 9
}

# retrieved: runs the commands on standard input, which mount the pool and retrieve files.
retrieved()
{
	"$LT" >/tmp/retrieved 2>&1 || {
		cat /tmp/retrieved
		return 1
	}
	cat /tmp/retrieved
	measured_in /tmp/retrieved mount 0 && measured_in /tmp/retrieved retrieve 9
}

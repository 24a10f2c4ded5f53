# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# For the benchmarks of live updates, which are VM tests that scripts/bench-liveupdate
# runs. What is measured goes to /out/measured, a line each:
# SYSTEM ENTRY GUEST-BYTES POOL-BYTES WHAT NS TICKS
# TICKS are those of the time stamp counter, which counts instructions where the machine's
# clock does.

# As the first thing in a generation, before anything else takes time.
vm_arrived=$(/selftests/filetool tsc)

# bytes SIZE: as a number.
bytes()
{
	case $1 in
	*K) echo $((${1%K} << 10)) ;;
	*M) echo $((${1%M} << 20)) ;;
	*G) echo $((${1%G} << 30)) ;;
	*) echo "$1" ;;
	esac
}

# measured WHAT NS TICKS: of $SYSTEM, $ENTRY, $RAM, in a pool of $POOL bytes.
measured()
{
	echo "$SYSTEM $(bytes "$ENTRY") $(bytes "$RAM") $POOL $*" >>/out/measured
}

# From the last that the kernel before did for us to the first that this one does.
measured_hop()
{
	vm_ticks=$((vm_arrived - $(cat "$STATE/left")))
	vm_mhz=$(dmesg | sed -n 's/.*tsc: Detected \([0-9.]*\) MHz.*/\1/p' | head -n 1)
	measured kexec_to_init \
		"$(awk -v t=$vm_ticks -v mhz="$vm_mhz" 'BEGIN { printf "%.0f", t * 1000 / mhz }')" \
		$vm_ticks
}

# measured_in FILE WHAT NUMBER: the least of the times that luotool says it took, which is
# the one that nothing else on the host has got into.
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

# small COMMAND: for each of four small files, whose number stands for %. They are preserved
# and retrieved before what is measured: an emulator translates code when it runs for the
# first time.
small()
{
	for vm_n in 0 1 2 3; do
		echo "$1" | sed "s/%/$vm_n/g"
	done
}

# thrice: the file called ram is preserved three times, and stays so.
thrice()
{
	for vm_n in 1 2; do
		printf '%s\n' "create again" "preserve again 9 ram" "close again"
	done
	echo "preserve bench 9 ram"
}

# preserved: the commands on standard input hold a session.
preserved()
{
	held outgoing 3000 && measured_in /tmp/held.outgoing preserve 9
}

# retrieved: those on standard input mount the pool and retrieve from it.
retrieved()
{
	"$LT" >/tmp/retrieved 2>&1 || {
		cat /tmp/retrieved
		return 1
	}
	cat /tmp/retrieved
	measured_in /tmp/retrieved mount 0 && measured_in /tmp/retrieved retrieve 9
}

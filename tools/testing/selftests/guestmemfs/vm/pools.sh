# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# For VM tests that have pools: a test's run() sources this.

FT=/selftests/filetool

# mount_pool NODE: on /mnt/nodeNODE.
mount_pool()
{
	mkdir -p "/mnt/node$1" && mount -t guestmemfs -o "node=$1" guestmemfs "/mnt/node$1"
}

# mount_fails NODE TEXT: with the errno of this text.
mount_fails()
{
	mkdir -p /tmp/mount_fails
	if mount -t guestmemfs -o "node=$1" guestmemfs /tmp/mount_fails 2>/tmp/mount_fails.out; then
		umount /tmp/mount_fails
		echo "it was mounted"
		return 1
	fi
	cat /tmp/mount_fails.out
	grep -qF "$2" /tmp/mount_fails.out
}

# logged REGEX [TIMES]: in the log of this kernel, and how often.
logged()
{
	dmesg | grep "guestmemfs: "
	[ "$(dmesg | grep -cE "guestmemfs: $1")" -eq "${2:-1}" ]
}

# The pools' ranges, metadata included, a line each.
pool_ranges()
{
	sed -n 's/^ *\([0-9a-f]*-[0-9a-f]*\) : guestmemfs$/\1/p' /proc/iomem
}

# What they are together, in bytes.
pool_bytes()
{
	vm_sum=0
	for vm_r in $(pool_ranges); do
		vm_sum=$((vm_sum + 0x${vm_r#*-} - 0x${vm_r%-*} + 1))
	done
	echo $vm_sum
}

# pool_mib NODE: what files may have of a mounted pool.
pool_mib()
{
	echo $(($(stat -f -c %b "/mnt/node$1") * 2))
}

mem_total_kib()
{
	awk '/^MemTotal:/ { print $2 }' /proc/meminfo
}

# keep NAME COMMAND...: what it says now, for the generations to come.
keep()
{
	vm_name=$1
	shift
	"$@" >"$STATE/$vm_name"
}

# kept NAME COMMAND...: it says the same as when it was kept.
kept()
{
	vm_name=$1
	shift
	"$@" >/tmp/kept.now && diff "$STATE/$vm_name" /tmp/kept.now
}

# total_kept: as much memory as keep total mem_total_kib has seen, to a MiB, which is
# what a boot may take more or less than the one before. On the debug kernel the shadow
# of KASAN is not allocated alike on a cold boot and after a kexec: there the bound is
# a memory section less a bit, the least that a range of a pool can be.
total_kept()
{
	vm_bound=1024
	if [ "$KERNEL" = debug ]; then
		vm_bound=$((120 << 10))
	fi
	vm_diff=$(($(mem_total_kib) - $(cat "$STATE/total")))
	echo "MemTotal: $vm_diff KiB more than before"
	[ $vm_diff -lt $vm_bound ] && [ $vm_diff -gt -$vm_bound ]
}

# pattern SEED OFFSET LENGTH FILE: written, and to be found by patterns_kept later.
pattern()
{
	"$FT" fill "$4" "$1" "$2" "$3" && echo "$*" >>"$STATE/patterns"
}

# no_pattern TEXT: no pattern any more where the line has the text.
no_pattern()
{
	grep -vF "$1" "$STATE/patterns" >/tmp/patterns
	cp /tmp/patterns "$STATE/patterns"
}

patterns_kept()
{
	vm_bad=0
	while read -r vm_seed vm_offset vm_len vm_file; do
		"$FT" check "$vm_file" "$vm_seed" "$vm_offset" "$vm_len" || {
			echo "in $vm_file"
			vm_bad=1
		}
	done <"$STATE/patterns"
	[ $vm_bad -eq 0 ] && [ -s "$STATE/patterns" ]
}

# ms_since TICKS: of the time stamp counter, which a kexec does not stop.
ms_since()
{
	awk -v now="$("$FT" tsc)" -v then="$1" -v mhz="$(dmesg |
		sed -n 's/.*tsc: Detected \([0-9.]*\) MHz.*/\1/p' | head -n 1)" \
		'BEGIN { printf "%d\n", (now - then) / mhz / 1000 }'
}

ms_since_hop()
{
	ms_since "$(cat "$STATE/left")"
}

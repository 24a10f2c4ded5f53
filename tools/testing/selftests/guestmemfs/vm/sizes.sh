# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for VM tests in which pools grow and shrink; the run() of such a test sources this file.

# size_of NODE: prints the bytes that a pool has.
size_of()
{
	cat "/sys/fs/guestmemfs/node$1/size"
}

# resize NODE SIZE
resize()
{
	echo "$2" >"/sys/fs/guestmemfs/node$1/size" && cat "/sys/fs/guestmemfs/node$1/resized"
}

# resize_fails NODE SIZE TEXT: with this text in the file "resized".
resize_fails()
{
	! echo "$2" >"/sys/fs/guestmemfs/node$1/size" 2>/tmp/resize || return 1
	cat /tmp/resize "/sys/fs/guestmemfs/node$1/resized"
	grep -qF "$3" "/sys/fs/guestmemfs/node$1/resized"
}

# Prints the KiB of memory blocks that are offline: resize_test makes a memory error in one.
offline_kib()
{
	blocks=$(cat /sys/devices/system/memory/memory*/state | grep -cx offline)
	echo $((blocks * (0x$(cat /sys/devices/system/memory/block_size_bytes) >> 10)))
}

# Prints the KiB of the host and of all pools.
all_kib()
{
	sum=$(($(mem_total_kib) + $(offline_kib)))
	for pool in /sys/fs/guestmemfs/node*; do
		sum=$((sum + $(cat "$pool/size") / 1024))
	done
	echo $sum
}

# The memory of the pools and of the host is the same as before: all memory is that of one of them,
# or offline. Struct pages of a pool's memory, 1/64 of it, are the host's or the pool's.
memory_is_all()
{
	now=$(all_kib)
	[ -f "$STATE/memory" ] || echo "$now" >"$STATE/memory"
	diff=$((now - $(cat "$STATE/memory")))
	echo "$diff KiB more than before"
	[ $diff -lt 131072 ] && [ $diff -gt -131072 ]
}

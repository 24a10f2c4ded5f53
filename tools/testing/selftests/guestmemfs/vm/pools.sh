# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for VM tests with pools; the run() of such a test sources this file.

FT=/selftests/filetool
DUMP=/selftests/guestmemfs-dump

# mount_pool NODE: mounts the pool on /mnt/nodeNODE.
mount_pool()
{
	mkdir -p "/mnt/node$1" && mount -t guestmemfs -o "node=$1" guestmemfs "/mnt/node$1"
}

# mount_fails NODE TEXT: the mount fails with the errno of this text.
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

# logged REGEX [TIMES]: the log of this kernel has such a line of guestmemfs, TIMES times (1).
logged()
{
	dmesg | grep "guestmemfs: "
	[ "$(dmesg | grep -cE "guestmemfs: $1")" -eq "${2:-1}" ]
}

# Prints the ranges of the pools with their metadata, one on each line.
pool_ranges()
{
	sed -n 's/^ *\([0-9a-f]*-[0-9a-f]*\) : guestmemfs$/\1/p' /proc/iomem
}

# Prints the sum of these ranges in bytes.
pool_bytes()
{
	vm_sum=0
	for vm_r in $(pool_ranges); do
		vm_sum=$((vm_sum + 0x${vm_r#*-} - 0x${vm_r%-*} + 1))
	done
	echo $vm_sum
}

# pool_mib NODE: prints the space for files in a mounted pool.
pool_mib()
{
	echo $(($(stat -f -c %b "/mnt/node$1") * 2))
}

mem_total_kib()
{
	awk '/^MemTotal:/ { print $2 }' /proc/meminfo
}

# Prints the bytes of all struct pages.
memmap_bytes()
{
	awk '/^nr_memmap(_boot)?_pages / { n += $2 } END { print n * 4096 }' /proc/vmstat
}

# keep NAME COMMAND...: stores the output of the command for later generations.
keep()
{
	vm_name=$1
	shift
	"$@" >"$STATE/$vm_name"
}

# kept NAME COMMAND...: the output of the command is the same as the stored one.
kept()
{
	vm_name=$1
	shift
	"$@" >/tmp/kept.now && diff "$STATE/$vm_name" /tmp/kept.now
}

# total_kept: MemTotal is the same as in "keep total mem_total_kib", up to a MiB, by which boots
# differ. On the debug kernel, the shadow memory of KASAN differs between a cold boot and a kexec,
# so the bound there is somewhat less than a memory section, which is the smallest possible range of
# a pool.
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

# pattern SEED OFFSET LENGTH FILE: writes a pattern, and records it for patterns_kept.
pattern()
{
	"$FT" fill "$4" "$1" "$2" "$3" && echo "$*" >>"$STATE/patterns"
}

# no_pattern TEXT: removes the recorded patterns whose line has the text.
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

# pool_tables NODE: prints the path of the file with a pool's metadata.
pool_tables()
{
	echo "/sys/kernel/debug/guestmemfs/node$1/tables"
}

# Prints a line for each file with a name, out of the output of guestmemfs-dump: number, mode,
# owner, size, sectors, times, path.
dumped_files()
{
	awk '
		/^[^ ]/ { part = $1 }
		part == "inode" && ($2 == "file" || $2 == "directory") {
			ino = $1
			line = substr($3, 2) " " $5 " " $7
			gsub(",", "", line)
			getline
			path[ino] = substr($0, 7)
			gsub(/\\040/, " ", path[ino])
			getline
			$1 = $2 = ""
			times = $0
			gsub(/^ */, "", times)
			head[ino] = ino " " line
			tail[ino] = times " " path[ino]
		}
		part == "extent" && $2 == "inode" { blocks[$3 + 0] += $6 }
		END {
			for (ino in path)
				if (path[ino] != "(orphan)")
					print head[ino], blocks[ino] * 4096, tail[ino]
		}'
}

# listed_files NODE: prints the same lines out of "filetool list" of the mounted pool.
listed_files()
{
	vm_re="^/mnt/node$1(.*) ino ([0-9]+) mode ([0-7]+) links [0-9]+ owner ([0-9:]+)"
	vm_re="$vm_re size ([0-9]+) blocks ([0-9]+) (mtime [^ ]+ ctime [^ ]+ btime [^ ]+).*"
	sed -E "s|$vm_re|\\2 \\3 \\4 \\5 \\6 \\7 \\1|; s| \$| /|"
}

# dump_is_right NODE: guestmemfs-dump finds a mounted pool well formed, with the files that the
# mount shows, and prints the same for a copy of the tables, which is kept.
dump_is_right()
{
	"$DUMP" "$(pool_tables "$1")" >"/tmp/dump$1" || return 1
	cp "$(pool_tables "$1")" "$STATE/tables$1" || return 1
	keep "dump$1" "$DUMP" "$STATE/tables$1" && diff "/tmp/dump$1" "$STATE/dump$1" || return 1
	"$FT" list "/mnt/node$1" >"/tmp/list$1" || return 1
	dumped_files <"/tmp/dump$1" | sort >/tmp/dumped
	listed_files "$1" <"/tmp/list$1" | sort >/tmp/listed
	diff /tmp/dumped /tmp/listed && [ -s /tmp/dumped ]
}

# ms_since TICKS: prints the milliseconds since this value of the time stamp counter, which a kexec
# does not reset.
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

TRACING=/sys/kernel/tracing

# From now on the allocations in all pools are counted.
count_allocations()
{
	[ -d $TRACING/events ] || mount -t tracefs none $TRACING
	echo 1 >$TRACING/events/guestmemfs/guestmemfs_allocate/enable
}

# has_allocated N: since count_allocations, N blocks or more were allocated.
has_allocated()
{
	vm_blocks=$(sed -n 's/.*guestmemfs_allocate: .* blocks=\([0-9]*\) .*/\1/p' $TRACING/trace |
		awk '{ n += $1 } END { print n + 0 }')
	echo "$vm_blocks blocks were allocated"
	[ "$vm_blocks" -ge "$1" ]
}

# No block of the pool of node 0, which is mounted, is pinned or allocated.
all_is_free()
{
	[ "$(cat /sys/fs/guestmemfs/node0/pinned)" -eq 0 ] &&
		[ "$(stat -f -c %b /mnt/node0)" -eq "$(stat -f -c %f /mnt/node0)" ]
}

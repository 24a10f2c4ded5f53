# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Kexecs under full load, and comparison of the files with what the load has recorded, for the tests
# loaded, loaded-long and loaded-resize, which set HOPS. The journals of the load on one pool are
# mapped files in the other pool, so that they are right up to the last moment. With RESIZE=1 the
# pool of node 1 grows and shrinks at the same time.

STORM=/selftests/storm
WORKERS=4
RESIZE=${RESIZE:-}

# storm COMMAND NODE: runs storm with the load on the pool of this node. With RESIZE it gets less of
# the processors than what changes the size, which would take minutes otherwise.
storm()
{
	set -- "$STORM" "$1" "/mnt/node$2/load" "/mnt/node$((1 - $2))/journals" $WORKERS
	if [ -n "$RESIZE" ]; then
		# shellcheck disable=SC2016 # for the inner shell
		set -- sh -c 'renice -n 10 -p $$ && exec "$@"' sh "$@"
	fi
	"$@"
}

# Makes the directories of the load and of the journals.
prepare()
{
	for node in 0 1; do
		check "node $node mounts" mount_pool $node
		mkdir /mnt/node$node/load /mnt/node$node/journals
	done
	[ -z "$RESIZE" ] || keep memory all_kib
	check "node 0 is prepared" storm setup 0
	check "node 1 is prepared" storm setup 1
}

# no_complaint: the kernel has no complaint about what was handed over.
no_complaint()
{
	logged 'node [01]: [0-9]+ MiB in [0-9]+ ranges handed over, [0-9]+ KiB of metadata$' 2 &&
		logged '.*(refused|lost|reserved|cannot|could not|entry).*' 0
}

# lost NODE: prints the bytes that memory errors have cost.
lost()
{
	cat "/sys/fs/guestmemfs/node$1/lost"
}

# Compares both pools with the journals of their load, prints calls that were in flight, and checks
# that space adds up.
compare()
{
	note "from kexec to init: $(ms_since_hop) ms"
	check "node 0 mounts" mount_pool 0
	check "node 1 mounts" mount_pool 1
	for node in 0 1; do
		check "node $node: what the load was told is so, and nothing else is" \
			storm verify $node
		check "node $node: space and inodes add up" "$FT" df /mnt/node$node "$(lost $node)"
	done
	check "the log has no complaint" no_complaint
	[ -z "$RESIZE" ] ||
		check "no memory is missing: node 1 has $(size_of 1) bytes" memory_is_all
}

# Changes the size of node 1's pool all the time: a gigabyte comes, and as much goes in pieces of a
# memory block, which are zeroed faster. Counts both.
keep_resizing()
{
	: >/tmp/grown
	: >/tmp/shrunk
	while :; do
		resize 1 +1G >/tmp/resize.last 2>&1 && echo >>/tmp/grown
		for _ in 1 2 3 4 5 6 7 8; do
			resize 1 -128M >/tmp/resize.last 2>&1 && echo >>/tmp/shrunk
		done
	done
}

# counted GROWN SHRUNK: waits for so many changes.
counted()
{
	until [ "$(wc -l </tmp/grown)" -ge "$1" ] && [ "$(wc -l </tmp/shrunk)" -ge "$2" ]; do
		sleep 0.2
	done
}

# Runs the load, some hundred calls a second for each worker, until the machine jumps.
unrest()
{
	load_next || return 1
	storm run 0 >/tmp/storm.0 &
	storm run 1 >/tmp/storm.1 &
	check "all workers are at work" timeout "$(patience 60)" sh -c \
		'until [ -s /tmp/storm.0 ] && [ -s /tmp/storm.1 ]; do sleep 0.1; done'
	if [ -n "$RESIZE" ]; then
		keep_resizing &
		check "node 1 grows and shrinks" timeout "$(patience 120)" \
			sh -c '. /vm/loaded.sh && counted 2 10'
		note "node 1 has grown $(wc -l </tmp/grown) times, and shrunk" \
			"$(wc -l </tmp/shrunk) times: $(cat /sys/fs/guestmemfs/node1/resized)"
	fi
	# Vary the moment of the jump.
	sleep "0.$((GEN * 7 % 10))"
	jump
}

# says REGEX: the comparison of node 0 fails with this message.
says()
{
	! storm verify 0 >/tmp/says || return 1
	cat /tmp/says
	grep -qE "$1" /tmp/says
}

# noticed DESCRIPTION REGEX COMMAND...: the comparison notices a change of node 0 by the command.
noticed()
{
	what=$1 regex=$2
	shift 2
	"$@" || echo "failed: $*"
	check "noticed: $what" says "$regex"
}

# Planted changes show that the comparison can fail.
plant()
{
	dir=/mnt/node0/load
	file=$(find $dir/d? -type f | head -n 1)
	mode=$(stat -c %a "$file")
	block=$("$FT" list $dir | sed -n 's/ ino .* size [0-9]\{7,\} .* data 0-.*//p' | head -n 1)

	noticed "a word" ': block 0, page 2, word 0: ' "$FT" fill "$block" 99 8K 4K
	"$FT" fill "$block" 0 8K 4K
	noticed "another mode" ': mode 100001 instead of ' chmod 1 "$file"
	chmod "$mode" "$file"
	noticed "another place" ': No such file ' mv "$file" $dir/away
	mv $dir/away "$file"
	noticed "a file too many" '^worker 0, .*: [0-9]+ files instead of ' mkdir $dir/d1/w0.0
	rmdir $dir/d1/w0.0
	noticed "a stranger" '^[0-9]+ files and directories instead of ' mkdir $dir/d1/strange
	rmdir $dir/d1/strange
	check "undone, all is well" storm verify 0
	noticed "another size" ': 12345 bytes in ' truncate -s 12345 "$file"
	noticed "a block too many" ' 24576 sectors instead of ' "$FT" alloc "$file" 0 12M
}

met()
{
	note "node 0: $(storm seen 0 | tail -n 1)"
	note "node 1: $(storm seen 1 | tail -n 1)"
	note "memory errors: $(cat /sys/fs/guestmemfs/node0/poisoned) bytes on node 0," \
		"$(lost 0) lost"
	check "node 0: every call was met, EBUSY, and a fault that waited" storm seen 0
	check "node 1: every call was met, EBUSY, and a fault that waited" storm seen 1
}

loaded()
{
	if [ "$GEN" = 0 ]; then
		prepare
	else
		compare
	fi
	if [ "$GEN" -lt "$HOPS" ]; then
		unrest
	else
		met
		plant
	fi
}

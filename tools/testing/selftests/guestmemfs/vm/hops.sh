# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Successive kexecs that all files on both nodes have to survive, for the tests hops and hops-long,
# which set HOPS. HOP_TEXT is added to the command line of the next kernel. Every generation changes
# some files, so that each kexec has new state to preserve.

A=/mnt/node0
B=/mnt/node1

list_all()
{
	"$FT" list $A && "$FT" list $B && "$FT" df $A && "$FT" df $B
}

mount_both()
{
	mount_pool 0 && mount_pool 1
}

first_files()
{
	mkdir -p $A/vms/one $B/vms/two
	: >$A/vms/one/ram && truncate -s 16M $A/vms/one/ram && pattern 1 0 16M $A/vms/one/ram &&
		: >$B/vms/two/ram && truncate -s 16M $B/vms/two/ram &&
		pattern 2 0 16M $B/vms/two/ram &&
		: >$B/sparse && truncate -s 1G $B/sparse && pattern 3 510M 4M $B/sparse
}

# Makes a file, removes a file, renames a file, and changes a part of a file.
change()
{
	: >"$A/young.$GEN" && truncate -s 4M "$A/young.$GEN" &&
		pattern $((GEN + 10)) 0 4M "$A/young.$GEN" || return 1
	if [ -e "$A/young.$((GEN - 3))" ]; then
		rm "$A/young.$((GEN - 3))" || return 1
		no_pattern "$A/young.$((GEN - 3))"
	fi
	mv "$(echo $B/vms/*)" "$B/vms/two.$GEN" || return 1
	no_pattern $B/vms/
	pattern 2 0 14M "$B/vms/two.$GEN/ram" &&
		pattern $((GEN + 1000)) 14M 2M "$B/vms/two.$GEN/ram" &&
		chmod $((GEN % 7))00 "$B/vms/two.$GEN" || return 1
	no_pattern 510M
	"$FT" punch $B/sparse 508M 8M && pattern $((GEN + 2000)) 510M 4M $B/sparse
}

hopped()
{
	ms_since_hop >>"$STATE/hop_ms"
	check "hop $GEN: the ranges are those of before" kept ranges pool_ranges
	check "hop $GEN: as much memory as before" total_kept
	check "hop $GEN: both pools mount" mount_both
	check "hop $GEN: names, attributes, holes and space are kept" kept list list_all
	check "hop $GEN: every byte is kept" patterns_kept
}

hops()
{
	if [ "$GEN" = 0 ]; then
		check "both pools mount" mount_both
		check "files are made and filled" first_files
		keep ranges pool_ranges
		keep total mem_total_kib
	else
		hopped
	fi
	if [ "$GEN" -lt "$HOPS" ]; then
		check "generation $GEN changes something" change
		keep list list_all
		next_hop "${HOP_TEXT:-}"
	fi
	note "from kexec to init: $(awk '{ n += $1 } $1 > most { most = $1 }
		END { print int(n / NR) " ms on average, " most " ms at most" }' "$STATE/hop_ms")"
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for VM tests that use the Live Update Orchestrator. The run() of such a test sources
# this file and pools.sh.

# luotool reads commands from standard input.
LT=/selftests/luotool

# held NAME: runs the commands on standard input, until the last one, hold, keeps their sessions and
# descriptors open in the background. Their output is in /tmp/held.NAME.
held()
{
	cat >"/tmp/hold.$1"
	"$LT" <"/tmp/hold.$1" >"/tmp/held.$1" 2>&1 &
	vm_holder=$!
	vm_rc=0
	timeout "$(patience "${2:-60}")" sh -c "until grep -qx holding /tmp/held.$1; do
		kill -0 $vm_holder 2>/dev/null || exit 1; sleep 0.05; done" || vm_rc=1
	cat "/tmp/held.$1"
	return $vm_rc
}

# nameless NODE: prints how many blocks of a mounted pool belong to files without a name.
nameless()
{
	"$FT" df "/mnt/node$1" | awk '{ print $2 - $4 - $7 + 0 }'
}

# nameless_is NODE BLOCKS: waits for this number, because the last close of a file may be delayed.
nameless_is()
{
	vm_i=0
	vm_tries=$(patience 20)
	until [ "$(nameless "$1")" -eq "$2" ]; do
		vm_i=$((vm_i + 1))
		if [ $vm_i -gt "$vm_tries" ]; then
			echo "$(nameless "$1") blocks on node $1, not $2"
			return 1
		fi
		sleep 0.1
	done
}

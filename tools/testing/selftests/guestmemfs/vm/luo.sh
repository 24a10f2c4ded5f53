# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# For VM tests that use the Live Update Orchestrator: a test's run() sources this, and pools.sh.

# Reads its commands from standard input.
LT=/selftests/luotool

# held NAME: the commands on standard input, the last of which is hold, until they have
# come there; their sessions and descriptors stay. What they said is in /tmp/held.NAME.
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

# The blocks of a mounted pool that belong to files without a name.
nameless()
{
	"$FT" df "/mnt/node$1" | awk '{ print $2 - $4 - $7 + 0 }'
}

# nameless_is NODE BLOCKS: soon, since the last close of a file may be a moment later.
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

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for VM tests that run KVM's own selftests; the run() of such a test sources this file.
# The machine has these programs if make check-kvm or check-vm runs the test.

# Time limit of a program in seconds, with reserve for machines that run in parallel.
KVM_LIMIT=$(patience 300)

# Prints why a program, or a part of it, was skipped. Its output is in /tmp/kvm.out.
kvm_skipped()
{
	if [ "$vm_rc" -eq 4 ]; then
		sed -n 's/.*# SKIP[- ]*//p' /tmp/kvm.out | grep . || tail -n 1 /tmp/kvm.out
	else
		grep -i 'skipping' /tmp/kvm.out
	fi | tr '#' ' ' | head -n 1
}

# kvm_program PROGRAM ARGS...: one result. A part that lacks a requirement is a skip, which is a
# failure unless the test allows it.
kvm_program()
{
	vm_what=$*
	vm_prog=$1
	shift
	echo "$vm_what begins $(cut -d' ' -f1 /proc/uptime) s after the kernel's start"
	vm_rc=0
	timeout -k 5 "$KVM_LIMIT" "/selftests/kvm/$vm_prog" "$@" </dev/null >/tmp/kvm.out 2>&1 ||
		vm_rc=$?
	tail -n 40 /tmp/kvm.out
	vm_skip=$(kvm_skipped)
	if [ "$vm_rc" -eq 4 ]; then
		ok "$vm_what # SKIP ${vm_skip:-for no reason given}"
		return
	fi
	if grep -q '^TAP version' /tmp/kvm.out; then
		sed 's/^/    /' /tmp/kvm.out >&3
	fi
	case $vm_rc in
	0) ok "$vm_what${vm_skip:+ # SKIP $vm_skip}" ;;
	*)
		tail -n 40 /tmp/kvm.out | sed 's/^/#   /' >&3
		note "exit status $vm_rc (stopped after $KVM_LIMIT s, if 143)"
		not_ok "$vm_what"
		;;
	esac
}

# kvm_programs_by FUNCTION: runs the programs of the test in order, by a function that calls
# kvm_program.
kvm_programs_by()
{
	printf '%s\n' "$KVM_PROGRAMS" >/tmp/kvm.programs
	while read -r vm_line; do
		if [ -n "$vm_line" ]; then
			# shellcheck disable=SC2086 # words they are
			$1 $vm_line
		fi
	done </tmp/kvm.programs
}

# Runs the programs of the test in order.
kvm_programs()
{
	kvm_programs_by kvm_program
}

# The rest is for programs whose guests have memory of a pool (upstream/slots.c). The base kernel
# has no pool: nothing is different there.
PROVIDER_POOL=/sys/fs/guestmemfs/node0

# provider_zeroed: all memory of the pool is, after which no thread does that.
provider_zeroed()
{
	[ -d $PROVIDER_POOL ] || return 0
	vm_i=0
	echo 1 >$PROVIDER_POOL/zero_threads
	while [ "$(cat $PROVIDER_POOL/unzeroed)" -ne 0 ]; do
		vm_i=$((vm_i + 1))
		[ $vm_i -lt 600 ] || return 1
		sleep 0.1
	done
	echo 0 >$PROVIDER_POOL/zero_threads
}

# The program has had memory of the pool, which has to be zeroed again: it would not fail without.
provider_used()
{
	[ -d $PROVIDER_POOL ] || return 0
	echo "$(cat $PROVIDER_POOL/unzeroed) bytes"
	[ "$(cat $PROVIDER_POOL/unzeroed)" -ge $((4 << 20)) ]
}

# provider_program PROGRAM ARGS...: three results.
provider_program()
{
	check "the pool is clean" provider_zeroed
	kvm_program "$@"
	check "$* had memory of the pool" provider_used
}

# Runs the programs of the test in order, with memory of the pool of node 0.
provider_programs()
{
	# shellcheck source=tools/testing/selftests/guestmemfs/vm/pools.sh
	. /vm/pools.sh
	if [ -d $PROVIDER_POOL ]; then
		mount_pool 0
		mkdir /mnt/node0/slots
		export SLOTS_DIR=/mnt/node0/slots
	fi
	kvm_programs_by provider_program
}

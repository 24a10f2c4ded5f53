# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for the VM tests of the memory that pools leave to the rest of the system. CASES has a
# line for each boot: the command line, the least MiB of the pools of nodes 0, 1, .. (- for no pool,
# any for any size), and a command that has to succeed. Each boot is a kexec_load(2), which hands
# nothing over, so that the next kernel starts as after a cold boot.

# case_of GENERATION FIELD
case_of()
{
	echo "$CASES" | sed -n "$(($1 + 1))p" | cut -d'|' -f"$2"
}

nr_cases()
{
	echo "$CASES" | sed 1d | wc -l
}

handover_is_on()
{
	cat /sys/fs/guestmemfs/handover
	dmesg | grep -E 'KHO: |guestmemfs: |rashkernel|cma|HugeTLB'
	[ "$(cat /sys/fs/guestmemfs/handover)" = yes ] && test -d /sys/kernel/debug/kho/out
}

# pools_have MIB...: the pools of nodes 0, 1, .. have at least these sizes.
pools_have()
{
	vm_node=0
	for vm_mib; do
		if [ "$vm_mib" = any ]; then
			:
		elif [ "$vm_mib" = - ]; then
			mount_fails $vm_node 'No such device or address' || return 1
		else
			mount_pool $vm_node || return 1
			echo "node $vm_node has $(pool_mib $vm_node) MiB"
			[ "$(pool_mib $vm_node)" -ge "$vm_mib" ] || return 1
		fi
		vm_node=$((vm_node + 1))
	done
}

# crash_mib N: at least N MiB are reserved for a crash kernel.
crash_mib()
{
	echo "$(($(cat /sys/kernel/kexec_crash_size) >> 20)) MiB for a crash kernel"
	[ $(($(cat /sys/kernel/kexec_crash_size) >> 20)) -ge "$1" ]
}

# gigantic NODE N: the node has N hugetlb pages of 1 GiB.
gigantic()
{
	vm_nr=$(cat "/sys/devices/system/node/node$1/hugepages/hugepages-1048576kB/nr_hugepages")
	echo "$vm_nr pages of 1 GiB on node $1"
	[ "$vm_nr" = "$2" ]
}

one_case()
{
	vm_args=$(case_of "$1" 1)
	check "$vm_args: handover is on" handover_is_on
	# shellcheck disable=SC2046 # numbers, one a word
	check "$vm_args: pools are large enough" pools_have $(case_of "$1" 2)
	check "$vm_args: $(case_of "$1" 3)" eval "$(case_of "$1" 3)"
	dmesg | sed -n 's/.*\(guestmemfs: \|KHO: \)/# \1/p' >&3
}

boot_case()
{
	kexec -c -l /boot/bzImage --initrd=/boot/initramfs \
		--append="$(cat /out/cmdline.base) gmfs.gen=$((GEN + 1)) $(case_of "$1" 1)" || {
		not_ok "kexec_load of the next kernel"
		return 1
	}
	jump
}

fill_file()
{
	: >/mnt/node0/kept && truncate -s 64M /mnt/node0/kept &&
		pattern 5 0 64M /mnt/node0/kept
}

# The last case also makes a kexec with handover.
hop_keeps()
{
	check "a file is filled" fill_file
	KERNEL_IMAGE=/boot/bzImage next_hop --only "$(case_of "$1" 1)"
}

after_hop()
{
	check "after a hop handover is on" handover_is_on
	check "after a hop the pool of node 0 is there" mount_pool 0
	check "after a hop the file is kept" patterns_kept
	check "after a hop: $(case_of "$1" 3)" eval "$(case_of "$1" 3)"
}

scratch_run()
{
	# shellcheck source=tools/testing/selftests/guestmemfs/vm/pools.sh
	. /vm/pools.sh
	if [ "$GEN" = 0 ]; then
		boot_case 1
	elif [ "$GEN" -le "$(nr_cases)" ]; then
		one_case "$GEN"
		if [ "$GEN" = "$(nr_cases)" ]; then
			hop_keeps "$GEN"
		else
			boot_case $((GEN + 1))
		fi
	else
		after_hop "$(nr_cases)"
	fi
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for VM tests with VM_MONITOR=1: calls of functions of the kernel are delayed, or fail,
# by breakpoints of the emulator (scripts/monitor), so that the kernel needs nothing for it.

# monitor_open: opens the port that leads to the monitor as descriptor 4.
monitor_open()
{
	for vm_p in /sys/class/virtio-ports/*; do
		if [ "$(cat "$vm_p/name")" = monitor ]; then
			exec 4<>"/dev/${vm_p##*/}"
			return
		fi
	done
	return 1
}

# address FUNCTION: prints the address of a function of the kernel.
address()
{
	sed -n "s/^\([0-9a-f]*\) [tT] $1\$/\1/p" /proc/kallsyms | grep . ||
		{ echo "the kernel has no function $1" >&2; return 1; }
}

# arm FUNCTION ACTION: the next call of the function does something else: "return N" returns an
# error, "stay" never comes to an end, "sleep MS" is later. After "return N" there may be more
# functions and errors, which are called in this order. Fails if there is no such function.
arm()
{
	vm_action=$2
	vm_at=$(address "$1") && vm_sleep=$(address msleep) || return 1
	shift 2
	case $vm_action in
	return)
		vm_values=$(printf %x "$1")
		while [ $# -gt 1 ]; do
			vm_next=$(address "$2") || return 1
			vm_values="$vm_values $vm_next $(printf %x "$3")"
			shift 2
		done
		echo "at $vm_at return $vm_values" >&4
		;;
	stay) echo "at $vm_at stay $vm_sleep" >&4 ;;
	sleep) echo "at $vm_at sleep $vm_sleep $1" >&4 ;;
	esac
	read -r vm_said <&4 && [ -z "$vm_said" ]
}

# met: waits for that call.
met()
{
	read -r vm_said <&4 && [ -z "$vm_said" ]
}

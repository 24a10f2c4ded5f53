# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for VM tests that run programs of Debian packages; the run() of such a test sources this
# file. The test sets VM_TOOLS=tools, and the machine gets the programs as one more 9p share.

TOOLS=/tools

mount_tools()
{
	mkdir -p "$TOOLS" || return 1
	mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,ro,cache=loose tools "$TOOLS"
}

# tool PROGRAM ARGS...: runs a program with the libraries of its package, and no others.
tool()
{
	vm_prog=$TOOLS/usr/bin/$1
	vm_lib=$TOOLS/usr/lib/x86_64-linux-gnu
	shift
	"$vm_lib/ld-linux-x86-64.so.2" --library-path "$vm_lib:$vm_lib/ceph" "$vm_prog" "$@"
}

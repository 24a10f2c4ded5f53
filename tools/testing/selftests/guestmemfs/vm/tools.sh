# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# For VM tests that run programs of others, out of Debian's packages: a test's run() sources
# this. The test says VM_TOOLS=1, and the machine gets them as one more share.

TOOLS=/tools

mount_tools()
{
	mkdir -p "$TOOLS" || return 1
	mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,ro,cache=loose tools "$TOOLS"
}

# tool PROGRAM ARGS...: with the libraries that came with it, and no others.
tool()
{
	vm_prog=$TOOLS/usr/bin/$1
	vm_lib=$TOOLS/usr/lib/x86_64-linux-gnu
	shift
	"$vm_lib/ld-linux-x86-64.so.2" --library-path "$vm_lib:$vm_lib/ceph" "$vm_prog" "$@"
}

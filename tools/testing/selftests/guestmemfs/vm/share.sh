# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# The load of a host that is to give memory away afterwards, for the VM tests resize-share and
# resize-virtio.

# Page cache, files that come and go, and anonymous memory of processes, as when something is
# compiled. It ends with half of the files in memory.
work()
{
	mkdir -p /tmp/work || return 1
	tool stress-ng --timeout 15 --temp-path /tmp/work --vm 2 --vm-bytes 2G \
		--vm-method zero-one --fork 2 --dentry 1 --pipe 1 --malloc 1 \
		--malloc-bytes 512M >/tmp/stress 2>&1
	cat /tmp/stress
	i=0
	while [ $i -lt 2000 ]; do
		mkdir -p "/tmp/work/d$((i % 50))"
		dd if=/dev/zero of="/tmp/work/d$((i % 50))/f$i" bs=256k count=1 2>/dev/null ||
			return 1
		[ $((i % 3)) -ne 0 ] || rm "/tmp/work/d$((i % 50))/f$i"
		i=$((i + 1))
	done
}

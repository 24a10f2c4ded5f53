# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for VM tests that use guestmemctl as a host does; the run() of such a test sources this
# file. Such a machine has QEMU in /usr, a kernel and its initrd in /, a disk at /var/lib, which is
# a directory of the machine's own host, guestmemctl, and something in place of systemd.

# make_host: makes what a host has and a test machine has not.
make_host()
{
	ln -s /debian/usr /usr && unset LD_LIBRARY_PATH || return 1
	: >/vmlinuz && mount --bind /boot/bzImage /vmlinuz || return 1
	: >/initrd.img && mount --bind /boot/initramfs /initrd.img || return 1
	mkdir -p /run /etc /var/lib "$STATE/disk" /tmp/bin &&
		mount --bind "$STATE/disk" /var/lib || return 1
	make_systemctl
	make_kexec
	export PATH="/tmp/bin:$PATH:/selftests:/usr/bin"
}

# In place of systemd: starts the unit of a guest, whose file says how.
make_systemctl()
{
	cat >/tmp/bin/systemctl <<'SYSTEMCTL'
#!/bin/sh
case "$1 $2" in
"enable --now") shift 2 ;;
"start "*) shift ;;
"enable "*)
	shift
	cd /vm/systemd && exec ls "$@"
	;;
*) exit 1 ;;
esac
unit=/vm/systemd/${1%%@*}@.service
i=${1#*@}
i=${i%.service}
for file in $(sed -n "s/%i/$i/; s/^EnvironmentFile=-*//p" "$unit"); do
	[ ! -e "$file" ] || sed 's/=/ /' "$file" >>/tmp/environment.$$
done
while read -r name value; do
	export "$name=$value"
done </tmp/environment.$$
mkdir -p /run/guestmemfs
set -f
eval "exec $(sed -n "s/%i/$i/; s/^ExecStart=//p" "$unit")" >>/out/vmm.log 2>&1 </dev/null 3>&- &
SYSTEMCTL
	chmod +x /tmp/bin/systemctl
}

# The harness has to be told of the end of a generation.
make_kexec()
{
	cat >/tmp/bin/kexec <<'KEXEC'
#!/bin/sh
[ "$*" = -e ] || exec /sbin/kexec "$@"
. /vm/lib.sh
vm_end_generation
sleep 0.2
exec /sbin/kexec -x -e
KEXEC
	chmod +x /tmp/bin/kexec
}

# The next kernel gets the same command line, so that the generation is in a file.
next_generation()
{
	echo $((GEN + 1)) >"$STATE/reset"
}

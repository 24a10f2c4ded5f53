# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for VM tests with a Linux guest, a Debian kernel in QEMU, which VM_GUEST=1 provides; the
# run() of such a test sources this file. The init program of the guest, which the test's
# guest_init() prints, reads commands from its serial line, and ends each with a line
# "did: COMMAND STATUS", which the echo of a command is not.

# Time limit of each step of the guest in seconds.
LIMIT=100

# make_initramfs COMMANDS PROGRAMS...: makes /tmp/guest.cpio.gz. Its init program is what
# guest_init() of the test prints; it has these commands of busybox, the modules of $MODULES, and
# the programs.
make_initramfs()
{
	vm_commands=$1
	shift

	rm -rf /tmp/guest
	mkdir -p /tmp/guest/bin /tmp/guest/dev /tmp/guest/proc /tmp/guest/sys /tmp/guest/tmp
	cp /bin/busybox /tmp/guest/bin/ || return 1
	for a in sh mount insmod $vm_commands; do
		ln -s busybox "/tmp/guest/bin/$a"
	done
	for a; do
		cp "$a" /tmp/guest/bin/ || return 1
	done
	for m in $MODULES; do
		for f in "/boot/guest/$m".ko*; do
			case $f in
			*.xz) unxz <"$f" >"/tmp/guest/$m.ko" ;;
			*) cp "$f" "/tmp/guest/$m.ko" ;;
			esac || return 1
		done
	done
	guest_init >/tmp/guest/init
	chmod +x /tmp/guest/init
	(cd /tmp/guest && find . | cpio -o -H newc 2>/dev/null | gzip -1) >/tmp/guest.cpio.gz
}

# Prints how many commands the guest has completed.
done_by_guest()
{
	grep -c '^did: ' /tmp/serial.log
}

# wait_until SECONDS COMMAND...
wait_until()
{
	n=$(($1 * 5))
	shift
	until "$@"; do
		n=$((n - 1))
		[ $n -gt 0 ] && sleep 0.2 && kill -0 "$vmm" || return 1
	done
}

has_done()
{
	[ "$(done_by_guest)" -gt "$1" ]
}

# guest COMMAND: runs a command in the guest, which has to report success.
guest()
{
	before=$(done_by_guest)
	printf '%s\n' "$*" >&5
	wait_until "$LIMIT" has_done "$before" &&
		[ "$(grep '^did: ' /tmp/serial.log | tail -n 1)" = "did: ${1%% *} 0" ]
}

monitor()
{
	printf '%s\n' "$*" >&6
}

# start_guest QEMU ARGS...: starts a guest of 256 MiB, whose RAM is the file of the backend "ram",
# and waits for its init program. QEMU is a command.
start_guest()
{
	rm -f /tmp/serial.in /tmp/serial.out /tmp/hmp.in /tmp/hmp.out
	mkfifo /tmp/serial.in /tmp/serial.out /tmp/hmp.in /tmp/hmp.out
	exec 5<>/tmp/serial.in 6<>/tmp/hmp.in
	tr -d '\r' </tmp/serial.out >/tmp/serial.log &
	cat /tmp/hmp.out >/tmp/hmp.log &
	: >/tmp/serial.log
	"$@" -accel kvm -cpu host -nodefaults -display none \
		-kernel /tmp/vmlinuz -initrd /tmp/guest.cpio.gz \
		-append "console=ttyS0 quiet panic=-1 no_timer_check tsc=reliable $GUEST_APPEND" \
		-chardev pipe,id=serial,path=/tmp/serial -serial chardev:serial \
		-chardev pipe,id=hmp,path=/tmp/hmp -mon chardev=hmp,mode=readline \
		>/tmp/vmm.log 2>&1 3>&- 5>&- 6>&- &
	vmm=$!
	wait_until $((2 * LIMIT)) has_done 0
}

# Like check, with the last output of the guest and of QEMU if it fails.
step()
{
	if ! check "$@"; then
		head -n 20 /tmp/vmm.log | sed 's/^/#   /' >&3
		tail -n 5 /tmp/serial.log | sed 's/^/#   /' >&3
	fi
}

complains_not()
{
	[ ! -s /tmp/vmm.log ] || {
		cat /tmp/vmm.log
		false
	}
}

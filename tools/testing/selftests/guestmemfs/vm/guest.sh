# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for VM tests with a Linux guest, a Debian kernel in QEMU, which VM_GUEST=1 provides; the
# run() of such a test sources this file. The init program of the guest, which the test's
# guest_init() prints, reads commands from its serial line, and ends each with a line
# "did: COMMAND STATUS", which the echo of a command is not.

# Time limit of each step of the guest in seconds.
LIMIT=100
# The directory with the files of the guest that the functions are about: its serial line, QEMU's
# monitor, and QEMU's output. A test with several guests has one for each, see turn_to.
GUEST=/tmp
# Libraries for the programs of the initramfs.
LIBRARIES=

# make_initramfs COMMANDS PROGRAMS...: makes /tmp/guest.cpio.gz. Its init program is what
# guest_init() of the test prints; it has these commands of busybox, the modules of $MODULES, the
# programs, and $LIBRARIES.
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
	mkdir /tmp/guest/lib64
	for a in $LIBRARIES; do
		cp "$a" /tmp/guest/lib64/ || return 1
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

# turn_to NAME: from now on, the functions are about this guest of several.
turn_to()
{
	GUEST=/tmp/of.$1
}

# Prints how many commands the guest has completed.
done_by_guest()
{
	grep -c '^did: ' "$GUEST/serial.log"
}

# wait_until SECONDS COMMAND...: in a subshell, so that the command can wait for something, too.
wait_until()
(
	n=$(($1 * 5))
	shift
	until "$@"; do
		n=$((n - 1))
		[ $n -gt 0 ] && sleep 0.2 && kill -0 "$(cat "$GUEST/pid")" || exit 1
	done
)

has_done()
{
	[ "$(done_by_guest)" -gt "$1" ]
}

# type_in COMMAND: QEMU has both ends of its pipes open. If it has ended, opening only one end would
# wait for ever.
type_in()
{
	printf '%s\n' "$*" 1<>"$GUEST/serial.in"
}

# begin COMMAND: the guest begins a command, whose end ended() waits for.
begin()
{
	done_by_guest >"$GUEST/begun"
	type_in "$*"
}

# ended COMMAND: the guest has ended the command that was begun, and reports success.
ended()
{
	wait_until "$LIMIT" has_done "$(cat "$GUEST/begun")" &&
		[ "$(grep '^did: ' "$GUEST/serial.log" | tail -n 1)" = "did: ${1%% *} 0" ]
}

# guest COMMAND: runs a command in the guest, which has to report success.
guest()
{
	begin "$*" && ended "$*"
}

monitor()
{
	printf '%s\n' "$*" 1<>"$GUEST/hmp.in"
}

# QEMU has opened its pipes and its monitor listens. What it is told before is lost.
listens()
{
	grep -q '^QEMU .* monitor ' "$GUEST/hmp.log"
}

# The answer to "info uuid", which ends an answer to a command.
UUID=00000000-0000-0000-0000-000000000000

# answers NUMBER: the monitor has answered "info uuid" more often.
answers()
{
	[ "$(grep -c "^$UUID" "$GUEST/hmp.log")" -gt "$1" ]
}

# ask COMMAND: prints what the monitor answers.
ask()
{
	asked=$(grep -c "^$UUID" "$GUEST/hmp.log")
	monitor "$1"
	monitor "info uuid"
	wait_until "$LIMIT" answers "$asked" || return 1
	# Without the monitor's greeting and the echo of commands.
	awk -v n="$asked" -v end="^$UUID" '$0 ~ end { i++; next } i == n && !/^(QEMU|\(qemu\)) /' \
		"$GUEST/hmp.log"
}

# says COMMAND REGEX: the monitor's answer has such a line.
says()
{
	ask "$1" | grep -q "$2"
}

# quietly COMMAND: the monitor does the command and has nothing to say of it.
quietly()
{
	said=$(ask "$1") || return 1
	[ -z "$said" ] || {
		echo "$1: $said"
		return 1
	}
}

# launch_guest QEMU ARGS...: starts QEMU, a command, with a guest whose RAM is the backend "ram".
launch_guest()
{
	mkdir -p "$GUEST"
	for a in serial hmp; do
		rm -f "$GUEST/$a.in" "$GUEST/$a.out"
		mkfifo "$GUEST/$a.in" "$GUEST/$a.out"
		: >"$GUEST/$a.log"
	done
	tr -d '\r' <"$GUEST/serial.out" >"$GUEST/serial.log" &
	tr -d '\r' <"$GUEST/hmp.out" >"$GUEST/hmp.log" &
	"$@" -accel kvm -cpu host -nodefaults -display none \
		-kernel /tmp/vmlinuz -initrd /tmp/guest.cpio.gz \
		-append "console=ttyS0 quiet panic=-1 no_timer_check tsc=reliable $GUEST_APPEND" \
		-chardev "pipe,id=serial,path=$GUEST/serial" -serial chardev:serial \
		-chardev "pipe,id=hmp,path=$GUEST/hmp" -mon chardev=hmp,mode=readline \
		>"$GUEST/vmm.log" 2>&1 3>&- &
	vmm=$!
	echo $vmm >"$GUEST/pid"
}

# start_guest QEMU ARGS...: starts a guest and waits for its init program.
start_guest()
{
	launch_guest "$@"
	wait_until $((2 * LIMIT)) has_done 0
}

# Like check, with the last output of the guest and of QEMU if it fails.
step()
{
	if ! check "$@"; then
		head -n 20 "$GUEST/vmm.log" | sed 's/^/#   /' >&3
		tail -n 5 "$GUEST/serial.log" | sed 's/^/#   /' >&3
		return 1
	fi
}

complains_not()
{
	[ ! -s "$GUEST/vmm.log" ] || {
		cat "$GUEST/vmm.log"
		false
	}
}

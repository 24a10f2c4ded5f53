# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Functions for VM tests inside the machine (busybox sh). A test is a file in tests/. Its run() is
# called once in every generation, with GEN=0, 1, 2.., and reports with check, ok, not_ok, nested
# and kunit. The host reads the variables of the file, which
# Documentation/filesystems/guestmemfs-development.rst lists.
#
# Files in $STATE, a directory on the host, survive a kexec.

STATE=/out/state

vm_param()
{
	sed -n "s/.*\\b$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline
}

vm_ktap()
{
	printf '%s\n' "$*" >&3
	printf 'ktap: %s\n' "$*"
}

# patience SECONDS: prints the time limit for this machine: the host says in gmfs.slow how much
# slower it is.
patience()
{
	vm_slow=$(vm_param gmfs.slow)
	echo $(($1 * ${vm_slow:-1}))
}

# Adds a line of explanation to the results.
note()
{
	vm_ktap "# $*"
}

vm_result()
{
	vm_n=$(($(cat "$STATE/results") + 1))
	echo "$vm_n" >"$STATE/results"
	vm_ktap "$1 $vm_n $2"
}

ok()
{
	vm_result ok "$*"
}

not_ok()
{
	vm_result "not ok" "$*"
}

# check DESCRIPTION COMMAND...: one result, from the command's exit status. If the command fails,
# its output is added to the results.
check()
{
	vm_what=$1
	shift
	if ("$@") >/tmp/check.out 2>&1; then
		ok "$vm_what"
	else
		note "failed: $*"
		sed 's/^/#   /' /tmp/check.out | tail -n 40 >&3
		cat /tmp/check.out
		not_ok "$vm_what"
		return 1
	fi
}

# nested DESCRIPTION COMMAND...: runs a program that reports in TAP or KTAP. Its results become
# subtests of one result. The test's VM_RESULTS has their number.
nested()
{
	vm_what=$1
	shift
	# On the host, so that the output can be read if the program hangs.
	vm_out=/out/running
	vm_rc=0
	vm_start=$(cut -d . -f 1 /proc/uptime)
	"$@" >"$vm_out" 2>&1 || vm_rc=$?
	note "$vm_what: $(($(cut -d . -f 1 /proc/uptime) - vm_start)) s"
	sed 's/^/    /' "$vm_out" >&3
	cat "$vm_out"
	if ! grep -qE '^K?TAP version' "$vm_out"; then
		note "no results of: $*, exit status $vm_rc"
		not_ok "$vm_what"
	elif [ $vm_rc -eq 0 ] && ! grep -q '^ *not ok' "$vm_out"; then
		ok "$vm_what"
	else
		note "exit status $vm_rc of: $*"
		not_ok "$vm_what"
	fi
	rm -f "$vm_out"
}

vm_kunit_results()
{
	# shellcheck disable=SC2086 # names, one a word
	set -- $vm_suites
	echo "KTAP version 1"
	echo "1..$#"
	vm_i=0
	for vm_s; do
		vm_i=$((vm_i + 1))
		sed 's/^/    /' "/sys/kernel/debug/kunit/$vm_s/results"
		# The result of the whole suite.
		vm_last=$(grep -E '^(not )?ok ' "/sys/kernel/debug/kunit/$vm_s/results" | tail -n 1)
		case $vm_last in
		"ok "*) echo "ok $vm_i $vm_s" ;;
		*) echo "not ok $vm_i $vm_s" ;;
		esac
	done
}

# kunit PATTERN: reports the results of the KUnit suites whose names match the shell pattern. They
# have run at boot, if the test has kunit.enable=1 in VM_APPEND. The test has to allow their taint:
# VM_TAINT=$((1 << 18)).
kunit()
{
	# shellcheck disable=SC2086 # a pattern
	vm_suites=$(cd /sys/kernel/debug/kunit 2>/dev/null && echo $1)
	nested "KUnit $1" vm_kunit_results
}

# kselftest PROGRAM ARGS...: runs one of the guestmemfs kselftests.
kselftest()
{
	vm_prog=$1
	shift
	nested "$vm_prog" "/selftests/$vm_prog" "$@"
}

# in_root_of DIR COMMAND...: runs a command in the root in DIR, in which /mnt, /tmp and /out are the
# same as outside.
in_root_of()
{
	vm_dir=$1
	shift
	if ! grep -q " $vm_dir/proc " /proc/mounts; then
		for vm_d in proc sys dev tmp out mnt; do
			mount --rbind /$vm_d "$vm_dir/$vm_d"
		done
	fi
	env -u LD_LIBRARY_PATH chroot "$vm_dir" "$@"
}

# in_root COMMAND...: runs a command in the Debian root, which has QEMU.
in_root()
{
	in_root_of /debian "$@"
}

# Writes the report of kmemleak for the host. Fails if kmemleak has switched itself off: it refuses
# a scan then, and its list of leaks is empty.
vm_leaks()
{
	vm_file=/sys/kernel/debug/kmemleak
	# The first scan counts all memory that is not zero as modified since the previous scan, and
	# reports nothing in it. The parameter says in how many more scans a leak has to be seen.
	vm_scans=$(cat /sys/module/kmemleak/parameters/min_unref_scans) || return 1
	# Objects younger than five seconds are not reported.
	sleep 6
	while [ "$vm_scans" -ge 0 ]; do
		echo scan >$vm_file || return 1
		vm_scans=$((vm_scans - 1))
	done
	# A slow scan may miss a pointer that is moved meanwhile, so only leaks that a further scan
	# finds, too, count.
	if [ -n "$(head -c 1 $vm_file)" ]; then
		sleep 1
		echo scan >$vm_file || return 1
	fi
	cat $vm_file >"/out/kmemleak.$GEN"
}

# Tells the host about a generation at its end.
vm_end_generation()
{
	sync
	vm_searched=
	if [ -e /sys/kernel/debug/kmemleak ]; then
		vm_searched=1
		vm_leaks || vm_searched=0
	fi
	{
		echo "taint $(cat /proc/sys/kernel/tainted)"
		if [ -e /proc/lockdep_stats ]; then
			echo "lockdep $(awk '/debug_locks:/ { print $2 }' /proc/lockdep_stats)"
		fi
		[ -z "$vm_searched" ] || echo "kmemleak $vm_searched"
		echo "uptime $(cut -d' ' -f1 /proc/uptime)"
	} >"/out/generation.$GEN.tmp"
	mv "/out/generation.$GEN.tmp" "/out/generation.$GEN"
}

# load_next [--only] [TEXT]: loads the kernel of the next generation by kexec_file_load, with the
# present command line and TEXT. --only leaves out what the test has added to the first command
# line. KERNEL_IMAGE names another kernel than the running one.
load_next()
{
	vm_append=$(cat /out/cmdline.append)
	if [ "$1" = --only ]; then
		vm_append=
		shift
	fi
	kexec -s -l "${KERNEL_IMAGE:-/boot/bzImage}" --initrd=/boot/initramfs \
		--append="$(cat /out/cmdline.base) gmfs.gen=$((GEN + 1)) $vm_append $*" || {
		not_ok "kexec_file_load of the next kernel"
		return 1
	}
}

# jump: starts the loaded kernel.
jump()
{
	vm_end_generation
	# Give the host time to read all results before the jump.
	sleep 0.2
	# ms_since_hop needs this in the next generation.
	/selftests/filetool tsc >"$STATE/left"
	kexec -x -e
	not_ok "kexec did not happen"
	return 1
}

# next_hop [--only] [TEXT]: load_next and jump.
next_hop()
{
	load_next "$@" && jump
}

# reset_machine: resets the machine like a crash or a button; memory keeps its contents. The test
# sets VM_RESET=1 to be started again.
reset_machine()
{
	echo $((GEN + 1)) >"$STATE/reset"
	vm_end_generation
	sleep 0.2
	reboot -f
	not_ok "the machine was not reset"
	return 1
}

vm_poweroff()
{
	sync
	poweroff -f
}

vm_main()
{
	TEST=$(vm_param gmfs.test)
	GEN=$(vm_param gmfs.gen)
	# After a reset, the command line is the first one again.
	if [ -s "$STATE/reset" ]; then
		GEN=$(cat "$STATE/reset")
	fi
	export TEST GEN STATE

	if [ -d /boot/modules ]; then
		vm_modules
	fi
	if [ "$TEST" = shell ]; then
		vm_shell
		vm_poweroff
	fi
	vm_open_port
	# For tests that do less on a slow kernel.
	export KERNEL=plain
	if [ -e /proc/lockdep_stats ]; then
		KERNEL=debug
	elif [ -d /boot/modules ]; then
		KERNEL=distro
	fi
	# shellcheck source=/dev/null
	. "/vm/tests/$TEST"
	if [ "$GEN" = 0 ]; then
		mkdir -p "$STATE"
		echo 0 >"$STATE/results"
		vm_ktap "KTAP version 1"
		vm_ktap "1..$PLAN"
	fi
	vm_generation run
}

# Opens the port for results as descriptor 3.
vm_open_port()
{
	for vm_p in /sys/class/virtio-ports/*; do
		read -r vm_name <"$vm_p/name"
		if [ "$vm_name" = ktap ]; then
			exec 3>"/dev/${vm_p##*/}"
		fi
	done
}

# vm_generation COMMAND: runs one generation of the test, and stops the machine.
vm_generation()
{
	read -r vm_up _ </proc/uptime
	note "generation $GEN, $vm_up s after the kernel's start"
	if ("$@"); then
		vm_end_generation
		echo "done" >/out/status
	else
		vm_ktap "Bail out! $*() failed in generation $GEN"
	fi
	vm_poweroff
}

# Loads the modules of this kernel, if there are any, in the order of their dependencies. Modules
# for CPUs of another vendor fail to load.
vm_modules()
{
	vm_loaded=yes
	while [ -n "$vm_loaded" ]; do
		vm_loaded=
		for vm_m in /boot/modules/*.ko; do
			vm_name=$(basename "$vm_m" .ko | tr - _)
			if [ ! -e "/sys/module/$vm_name" ] && insmod "$vm_m" 2>/dev/null; then
				vm_loaded=yes
			fi
		done
	done
}

# Mounts the pools for a person in make shell.
vm_shell()
{
	if grep -q guestmemfs /proc/filesystems; then
		for vm_node in /sys/devices/system/node/node[0-9]*; do
			vm_node=${vm_node##*/node}
			mkdir -p "/mnt/node$vm_node"
			mount -t guestmemfs -o "node=$vm_node" guestmemfs "/mnt/node$vm_node" &&
				echo "the pool of node $vm_node is mounted on /mnt/node$vm_node"
		done
	fi
	echo "next_hop goes through kexec, in_root COMMAND runs in the Debian root,"
	echo "exit ends the machine"
	ENV=/vm/lib.sh setsid cttyhack sh
}

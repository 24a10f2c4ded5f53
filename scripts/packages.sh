# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# The private Debian roots: their packages, and where they are. Sourced after lib.sh.

# packages_of ""|tools|efi|guest: of the root with that name sets $root, $wanted (which decides
# about what is in it) and what scripts/root needs. A root that is there is never replaced by
# one of other packages, as another branch may want them: machines that run have it mounted.
packages_of()
{
	codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	suites=("$codename")
	from=()
	# QEMU before 10 crashes a Linux guest inside the guest.
	if [ "$codename" = bookworm ]; then
		suites+=(bookworm-backports)
		from=(-t bookworm-backports)
	fi
	WITHOUT=
	ONLY=
	case $1 in
	'')
		root=$CACHE/root
		what="packages of the test machines"
		PACKAGES="qemu-system-x86 busybox-static kexec-tools"
		;;
	tools)
		root=$CACHE/root-tools
		what="packages with tools for tests"
		PACKAGES="fio stress-ng"
		from=()
		# What these depend on, but for what has to be there to draw, to run scripts of
		# theirs, and to be installed.
		WITHOUT='^(libllvm|mesa-|libz3|perl|libperl|python|libpython|dpkg|tar|passwd'
		WITHOUT+='|adduser)'
		;;
	efi)
		root=$CACHE/root-efi
		what="EFI firmware of the test machines"
		PACKAGES=ovmf
		from=()
		;;
	guest)
		root=$CACHE/root-guest
		what="a kernel for guests of the test machines"
		PACKAGES=linux-image-cloud-amd64
		from=()
		# What this one stands for, and nothing of what that needs to boot from a disk.
		ONLY='^linux-image-[0-9]'
		;;
	*) die "usage: root [tools|efi|guest]" ;;
	esac
	wanted="$codename $PACKAGES${WITHOUT:+ $WITHOUT}"
	if [ "$(cat "$root/.complete" 2>/dev/null || echo "$wanted")" != "$wanted" ]; then
		root+=-$(printf '%s' "$wanted" | sha256sum | cut -c1-12)
	fi
}

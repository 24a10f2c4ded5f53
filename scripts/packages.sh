# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# The private Debian roots: their packages, and where they are. Sourced after lib.sh.

# debian_mirror: sets $mirror to the Debian mirror that this machine's apt uses, and $keyring to
# Debian's keys.
debian_mirror()
{
	codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# "apt-get indextargets" reads both formats of apt's sources (.list and .sources).
	# shellcheck disable=SC2016 # apt's variables, not the shell's
	mirror=$(apt-get indextargets --no-release-info \
		--format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v code="$codename" '$2 == "main" && ($1 == code || $1 ~ /^(old)?stable$/) {
			sub(/\/$/, "", $3); print $3; exit }')
	[ -n "$mirror" ] ||
		die "apt on this machine has no Debian mirror for $codename (main);" \
			"add one to its sources${INSTEAD:+, or $INSTEAD}"
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -f $keyring ] || keyring=/usr/share/keyrings/debian-archive-keyring.pgp
	[ -f $keyring ] || die "no Debian keyring; install debian-archive-keyring"
}

# packages_of ""|tools|efi|guest|vmm: sets $root, the directory of that root, $wanted, the text that
# identifies its packages, and the variables that scripts/root needs. An existing root that has
# other packages, for another branch of this repository, is never replaced, since running machines
# may have it mounted: $root is another directory then.
packages_of()
{
	codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	suites=("$codename")
	from=()
	# A Linux guest inside the test machine crashes with QEMU older than 10.
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
		# Leave out those of their dependencies that are only needed for graphics, for
		# scripts in other languages, and for the installation.
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
		# Only the kernel package that this metapackage depends on, without the packages
		# that are needed to boot from a disk.
		ONLY='^linux-image-[0-9]'
		;;
	vmm)
		root=$CACHE/root-vmm
		what="the newest QEMU"
		PACKAGES=qemu-system-x86
		suites=(sid)
		from=()
		;;
	*) die "usage: root [tools|efi|guest|vmm]" ;;
	esac
	wanted="$codename $PACKAGES${WITHOUT:+ $WITHOUT}"
	if [ "$(cat "$root/.complete" 2>/dev/null || echo "$wanted")" != "$wanted" ]; then
		root+=-$(printf '%s' "$wanted" | sha256sum | cut -c1-12)
	fi
}

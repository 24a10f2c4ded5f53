# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# debian_mirror sets $keyring and $mirror.
# The fresh Debian of demo-host and check-libvirt. Sourced after lib.sh and packages.sh.

# debian_base LOG: chooses the Debian of DEBIAN=, and sets $debian to its name and $base to an
# archive of a fresh one without our packages, which is made if it is not there.
debian_base()
{
	local programs qemu wanted suite list=/etc/apt/sources.list.d/qemu.list

	need mmdebstrap
	debian_mirror
	debian=${DEBIAN:-$codename}
	[[ $debian =~ ^(bookworm|trixie)$ ]] || die "DEBIAN=$debian must be bookworm or trixie"
	programs=systemd-sysv,udev,dbus,kmod,kexec-tools,procps,initramfs-tools,zstd,lz4,apparmor
	programs+=,libvirt-daemon-system,libvirt-daemon-driver-qemu,libvirt-clients
	# The QEMU of Debian 12 is too old.
	suite=$debian
	[ "$debian" != bookworm ] || suite=bookworm-backports
	base=$CACHE/root-host-$debian.tar
	lock root
	wanted="$debian $programs, qemu of $suite"
	if [ "$(cat "$base.complete" 2>/dev/null)" != "$wanted" ]; then
		need_space "$CACHE" 1000 "a fresh Debian"
		rm -f "$base.complete"
		# As an administrator does, so that nothing else comes from there.
		qemu="apt-get update &&
			apt-get -y --no-install-recommends -t $suite install qemu-system-x86 &&
			apt-get clean"
		otherwise="see $1; without root, it needs the package uidmap"
		qemu="DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; $qemu"
		run_logged "a fresh Debian ($debian)" "$1" \
			'/^I: / { n++ } END { print n + 0 " steps" }' \
			mmdebstrap --mode=auto --variant=minbase --keyring="$keyring" \
			--include="$programs" \
			--customize-hook="echo deb $mirror $suite main >\"\$1$list\"" \
			--customize-hook="chroot \"\$1\" sh -c '$qemu'" \
			"$debian" "$base" "deb [signed-by=$keyring] $mirror $debian main"
		echo "$wanted" >"$base.complete"
	fi
	unlock root
}

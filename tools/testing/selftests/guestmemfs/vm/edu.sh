# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# For VM tests with QEMU's device edu.

# Binds QEMU's edu device to vfio-pci. It does DMA, and has no other driver.
bind_edu()
{
	edu=$(grep -lx 0x11e8 /sys/bus/pci/devices/*/device) || return 1
	edu=${edu%/device}
	echo vfio-pci >"$edu/driver_override" && echo "${edu##*/}" >/sys/bus/pci/drivers_probe
	[ -e "/sys/bus/pci/drivers/vfio-pci/${edu##*/}" ]
}

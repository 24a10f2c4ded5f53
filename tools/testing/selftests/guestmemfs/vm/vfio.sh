# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# For VM tests with a device that QEMU emulates and vfio-pci drives.

# bind_vfio ID: binds the device with this PCI device ID to vfio-pci.
bind_vfio()
{
	vm_dev=$(grep -lx "$1" /sys/bus/pci/devices/*/device) || return 1
	vm_dev=${vm_dev%/device}
	echo vfio-pci >"$vm_dev/driver_override" && echo "${vm_dev##*/}" >/sys/bus/pci/drivers_probe
	[ -e "/sys/bus/pci/drivers/vfio-pci/${vm_dev##*/}" ]
}

# Binds QEMU's edu device. It does DMA, and has no other driver.
bind_edu()
{
	bind_vfio 0x11e8
}

# Binds QEMU's igb device, an Intel 82576. VFIO's own selftests have a driver for it.
bind_igb()
{
	bind_vfio 0x10c9
}

# Prints the address of the device that is bound.
bound_device()
{
	(cd /sys/bus/pci/drivers/vfio-pci && echo 0000:*)
}

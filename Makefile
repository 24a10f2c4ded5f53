# SPDX-License-Identifier: GPL-2.0
# Each target calls a script of the same name, after installing the packages that it needs.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# Settings that may be given on the command line or in the environment.
export KDIR CACHE ACCEL JOBS VM TEST KERNEL OUT BENCH_SIZES BENCH_ONLY BENCH_RUNS BENCH_HOST BENCH_MACHINES FUZZ_TIME PATCH FILES FORCE CONFIG DEBIAN DEBS PLANT

SCRIPTS := scripts

# Packages that make packages, and those that a kernel's packages need as well.
DEB := dpkg-dev debhelper lintian
DEB_KERNEL := $(DEB) kmod cpio libssl-dev libdw-dev dwarves zstd

.PHONY: help
help:
	@echo 'guestmemfs: a filesystem for guest RAM that survives kexec'
	@echo
	@echo '  make demo         a VM survives four kexecs of its host'
	@echo '  make check        every check on the plain kernel; ends with "N passed, N failed"'
	@echo '  make check-debug  most VM tests, and a minute of races, on a kernel with KASAN,'
	@echo '                    lockdep and kmemleak'
	@echo '  make check-distro VM tests on a kernel as distributions configure theirs, with EFI'
	@echo '                    firmware and modules'
	@echo '  make check-long   VM tests that take long: fifty kexecs under load, a hundred hops, races,'
	@echo '                    a million mixed operations, a passed-through device over two hops, the'
	@echo '                    selftests of iommufd and VFIO on our files, a kernel without guestmemfs'
	@echo '                    in between, KVM as a module, and guests that give memory to each other'
	@echo '  make check-kvm    checks that the selftests of KVM, iommufd and VFIO that pass on a'
	@echo '                    kernel without our work pass on ours, too (KERNEL=debug: on the debug'
	@echo '                    kernel)'
	@echo '  make shell        a console in a test machine, with two pools mounted'
	@echo '                    (KERNEL=debug for the debug kernel)'
	@echo '  make kernel       only builds the kernel'
	@echo '  make deb          Debian packages of the kernel and of the programs in tools/guestmemfs, in'
	@echo '                    out/deb/ (CONFIG=file: of a kernel with this configuration)'
	@echo '  make demo-host    installs these packages in a fresh Debian, and boots it in a test machine:'
	@echo '                    two guests survive two live updates (DEBIAN=bookworm or trixie;'
	@echo '                    CONFIG=file)'
	@echo '  make tree         prepares the kernel tree with all patches, and prints its path'
	@echo '  make refresh PATCH=NNNN-name'
	@echo '                    gives the files of a patch to be edited, in edit/, and then writes the'
	@echo '                    patch anew (FILES="path...": with these files as well)'
	@echo '  make series       makes patches of all the work, ready to mail, in out/series/'
	@echo '  make check-series checks that each of these patches builds, and boots some (FIRST=number)'
	@echo '  make clean        removes all results from OUT'
	@echo '  make clean-cache  also removes all downloads and builds from CACHE'
	@echo
	@echo 'Parts of make check:'
	@echo '  make check-style    checkpatch, kernel-doc, W=1, sparse, shellcheck'
	@echo '  make check-user     format and allocator in user space, with ASAN and UBSAN'
	@echo '  make check-tools    the programs in tools/guestmemfs, without a kernel'
	@echo '  make check-deb      the Debian package of these programs: reproducible, lintian, dpkg'
	@echo '  make check-harness  checks that the harness notices planted failures'
	@echo '  make check-demo     runs the demo, and checks that it notices planted damage'
	@echo '  make check-vm       the VM tests (TEST=name or VM=name for one of them; the names are in'
	@echo '                      tools/testing/selftests/guestmemfs/vm/tests, and the logs of each in'
	@echo '                      out/check-vm/NAME)'
	@echo '  make check-luo      the VM tests of the Live Update Orchestrator: ours, and those'
	@echo '                      of the kernel'
	@echo
	@echo 'Longer than make check:'
	@echo '  make check-deb-kernel'
	@echo '                      the Debian packages of the kernel: built twice, with the same bytes'
	@echo '  make check-libvirt  guestmemctl with the libvirt and the QEMU of a fresh Debian, on a directory'
	@echo '                      in the place of a pool (DEBIAN=bookworm or trixie); needs root'
	@echo '  make fuzz           libFuzzer on code that reads tables (FUZZ_TIME=seconds, 300)'
	@echo '  make coverage       how many lines the tests of make check-user reach'
	@echo '  make bench          what guestmemfs costs in instructions and memory, beside hugetlbfs,'
	@echo '                      memfd and guest_memfd (BENCH_RUNS=3, BENCH_HOST=128 GiB)'
	@echo '  make bench-tables   time and memory of operations on the tables, in user space'
	@echo '  make bench-dma      instructions to map memory for a device, and to unmap it'
	@echo '  make bench-liveupdate'
	@echo '                      what a live update costs, compared with memfd, by size of RAM'
	@echo '                      (BENCH_SIZES="256M 1G 4G 16G"; 16G needs 21 GiB of memory)'
	@echo
	@echo 'Settings:'
	@echo '  KDIR=dir     a Linux 7.3.x tree, instead of that of Debian; copied, never changed'
	@echo '  CACHE=dir    the directory for sources and builds (~/.cache/guestmemfs)'
	@echo '  ACCEL=kvm    test machines use KVM instead of emulation (tcg), if the host has it'
	@echo '  JOBS=n       number of parallel jobs of a build (the number of processors)'
	@echo '  OUT=dir      the directory for results (out)'

.PHONY: kernel deb demo demo-host check check-debug check-distro check-long check-style check-user check-tools check-deb check-deb-kernel check-libvirt check-harness check-demo
.PHONY: check-vm check-luo check-kvm bench bench-tables bench-dma bench-liveupdate fuzz coverage shell series check-series tree refresh setup clean clean-cache

setup:
	@$(SCRIPTS)/setup

kernel: setup
	@$(SCRIPTS)/build $(or $(KERNEL),plain)

deb:
	@$(SCRIPTS)/setup $(DEB_KERNEL)
	@$(SCRIPTS)/deb

demo: setup
	@$(SCRIPTS)/demo

demo-host:
	@$(SCRIPTS)/setup $(DEB_KERNEL) mmdebstrap e2fsprogs
	@$(SCRIPTS)/demo-host

check:
	@$(SCRIPTS)/setup $(DEB)
	@$(SCRIPTS)/check

check-debug: setup
	@$(SCRIPTS)/check-vm debug $(or $(TEST),$(VM))

check-distro: setup
	@$(SCRIPTS)/check-vm distro $(or $(TEST),$(VM))

check-long: setup
	@$(SCRIPTS)/check-vm long $(or $(TEST),$(VM))

check-style: setup
	@$(SCRIPTS)/check-style

check-user: setup
	@$(SCRIPTS)/check-user

check-tools: setup
	@$(SCRIPTS)/check-tools

check-deb:
	@$(SCRIPTS)/setup $(DEB)
	@$(SCRIPTS)/check-deb

check-deb-kernel:
	@$(SCRIPTS)/setup $(DEB_KERNEL)
	@$(SCRIPTS)/check-deb kernel

check-libvirt:
	@$(SCRIPTS)/setup mmdebstrap
	@$(SCRIPTS)/check-libvirt

check-harness: setup
	@$(SCRIPTS)/check-harness

check-demo: setup
	@$(SCRIPTS)/check-demo

check-vm: setup
	@$(SCRIPTS)/check-vm $(or $(KERNEL),plain) $(or $(TEST),$(VM))

fuzz:
	@$(SCRIPTS)/setup clang libclang-rt-dev
	@$(SCRIPTS)/fuzz

coverage: setup
	@$(SCRIPTS)/coverage

check-luo: setup
	@$(SCRIPTS)/check-vm $(or $(KERNEL),plain) luo gmem-luo liveupdate

check-kvm: setup
	@$(SCRIPTS)/check-kvm $(or $(KERNEL),plain) $(or $(TEST),$(VM))

bench: setup
	@$(SCRIPTS)/bench

bench-tables: setup
	@$(SCRIPTS)/bench-tables

bench-dma: setup
	@$(SCRIPTS)/check-vm plain bench-dma; rc=$$?; \
	sed -n 's/^.*:mapping://p' "$${OUT:-out}/check-vm/bench-dma/ktap"; exit $$rc

bench-liveupdate: setup
	@$(SCRIPTS)/bench-liveupdate

shell: setup
	@$(SCRIPTS)/shell

series: setup
	@$(SCRIPTS)/series

check-series: setup
	@$(SCRIPTS)/check-series $(FIRST)

# The standard output is the path alone.
tree:
	@$(SCRIPTS)/setup >&2
	@$(SCRIPTS)/tree

refresh: setup
	@$(SCRIPTS)/refresh

clean:
	@$(SCRIPTS)/clean

clean-cache: clean
	@$(SCRIPTS)/clean-cache

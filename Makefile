# SPDX-License-Identifier: GPL-2.0
# The front door. Every target does the set-up that it needs; nothing is done twice.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# What may be given on the command line or in the environment.
export KDIR CACHE ACCEL JOBS VM TEST KERNEL OUT BENCH_SIZES BENCH_ONLY FUZZ_TIME

SCRIPTS := scripts

.PHONY: help
help:
	@echo 'guestmemfs: a filesystem for guest RAM that survives kexec'
	@echo
	@echo '  make demo         a VM lives through three kexecs of its host'
	@echo '  make check        every check on the plain kernel; ends with "N passed, N failed"'
	@echo '  make check-debug  most VM tests and a minute of races on a kernel with KASAN, lockdep, kmemleak'
	@echo '  make check-distro VM tests on a kernel as distributions configure theirs, with EFI'
	@echo '                    firmware and modules'
	@echo '  make check-long   VM tests that take long: fifty kexecs under load, a hundred hops, races,'
	@echo '                    a million mixed operations, a kernel without guestmemfs in between, and'
	@echo '                    KVM as a module'
	@echo '  make check-kvm    KVM'"'"'s own selftests pass on our kernel as on one without our work'
	@echo '                    (KERNEL=debug: on the debug kernel)'
	@echo '  make shell        a console in a test machine, with pools and mounts ready'
	@echo '                    (KERNEL=debug for the debug kernel)'
	@echo '  make kernel       only builds the kernel'
	@echo '  make series       the work as patches against the base tree, in out/series/'
	@echo '  make check-series each of these patches builds, and some are booted (FIRST=number)'
	@echo '  make clean        removes what is in OUT (clean-cache: also what was downloaded and built)'
	@echo
	@echo 'Parts of make check:'
	@echo '  make check-style    checkpatch, kernel-doc, W=1, sparse, shellcheck'
	@echo '  make check-user     format and allocator in user space, under ASAN and UBSAN'
	@echo '  make check-harness  planted failures: the harness notices'
	@echo '  make check-demo     the demo, and that it notices damage'
	@echo '  make check-luo      the Live Update Orchestrator: our VM test, and the kernel'"'"'s own tests'
	@echo '  make check-vm       the VM tests (TEST=name or VM=name for one of them)'
	@echo
	@echo 'Longer than make check:'
	@echo '  make fuzz           hostile tables, with libFuzzer (FUZZ_TIME=seconds, 300)'
	@echo '  make coverage       the lines that make check-user reaches'
	@echo '  make bench-tables   times and memory of the tables by their size, in user space'
	@echo '  make bench-liveupdate'
	@echo '                      what a live update costs, beside memfd, by the size of RAM'
	@echo '                      (BENCH_SIZES="256M 1G 4G 16G"; 16G needs 21 GiB of memory)'
	@echo
	@echo 'Settings:'
	@echo '  KDIR=dir     a Linux 7.3.x tree instead of Debian'"'"'s; copied, never changed'
	@echo '  CACHE=dir    where sources and builds are kept (~/.cache/guestmemfs)'
	@echo '  ACCEL=kvm    with KVM instead of emulation (tcg), where the host has it'
	@echo '  JOBS=n       parallel jobs of a build (the number of processors)'
	@echo '  OUT=dir      where results go (out)'

.PHONY: kernel demo check check-debug check-distro check-long check-style check-user check-harness check-demo
.PHONY: check-vm check-luo check-kvm bench-tables bench-liveupdate fuzz coverage shell series check-series setup clean clean-cache

setup:
	@$(SCRIPTS)/setup

kernel: setup
	@$(SCRIPTS)/build $(or $(KERNEL),plain)

demo: setup
	@$(SCRIPTS)/demo

check: setup
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

bench-tables: setup
	@$(SCRIPTS)/bench-tables

bench-liveupdate: setup
	@$(SCRIPTS)/bench-liveupdate

shell: setup
	@$(SCRIPTS)/shell

series: setup
	@$(SCRIPTS)/series

check-series: setup
	@$(SCRIPTS)/check-series $(FIRST)

clean:
	@$(SCRIPTS)/clean

clean-cache: clean
	@$(SCRIPTS)/clean-cache

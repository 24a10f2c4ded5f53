// SPDX-License-Identifier: GPL-2.0-only
/*
 * A software-protected guest has memory of KVM's own guest_memfd. A page is converted between
 * private and shared, while its shared memory must be paged in: the state of the page at the start
 * of an asynchronous page fault may differ from the state when KVM completes the fault. KVM warns
 * if it confuses the two.
 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "gmem_fixture.h"

#define EFLAGS_IF	0x200
#define SIZE		(4 * PAGE)

static struct vmm vmm;
static struct vcpu cpu;
static char *shared;
static int uffd;
static bool stop;
static unsigned long paged_in, astray;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

/* Serves the page faults of the shared memory by userfaultfd, with a delay. */
static void *page_in(void *arg)
{
	bool *done = arg;

	while (!__atomic_load_n(done, __ATOMIC_RELAXED)) {
		struct pollfd ready = { .fd = uffd, .events = POLLIN };
		struct uffdio_zeropage zero = { .range.len = PAGE };
		struct uffd_msg msg;

		if (poll(&ready, 1, 100) != 1 || read(uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		usleep(100);
		zero.range.start = msg.arg.pagefault.address & ~(PAGE - 1);
		ioctl(uffd, UFFDIO_ZEROPAGE, &zero);
		__atomic_fetch_add(&paged_in, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/*
 * Reads the same word again and again. KVM pages in asynchronously only if the guest can receive
 * interrupts, so IF is set.
 */
static void *run_guest(void *arg)
{
	while (!stopped()) {
		enum vcpu_end end = vcpu_go(&cpu);

		if (end != VCPU_STOPPED)
			__atomic_fetch_add(&astray, 1, __ATOMIC_RELAXED);
	}
	return arg;
}

static int set_private(bool private)
{
	struct kvm_memory_attributes attributes = {
		.address = FILE_GPA,
		.size = PAGE,
		.attributes = private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	return ERR(ioctl(vmm.vm, KVM_SET_MEMORY_ATTRIBUTES, &attributes));
}

static int make_memory(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct kvm_create_guest_memfd create = { .size = SIZE };
	struct uffdio_register all = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct kvm_userspace_memory_region2 region = {
		.slot = FILE_SLOT,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = FILE_GPA,
		.memory_size = SIZE,
	};

	shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (shared == MAP_FAILED || uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		return -1;
	all.range.start = (uintptr_t)shared;
	all.range.len = SIZE;
	region.userspace_addr = (uintptr_t)shared;
	region.guest_memfd = ioctl(vmm.vm, KVM_CREATE_GUEST_MEMFD, &create);
	if ((int)region.guest_memfd < 0 || ioctl(uffd, UFFDIO_REGISTER, &all))
		return -1;
	return vmm_set_region(&vmm, &region);
}

static int start_guest(void)
{
	const struct guest_job job = {
		.command = GUEST_TOUCH, .gpa = FILE_GPA, .words = UINT64_MAX,
	};
	struct kvm_regs regs;

	/* The interrupt controller must exist before the first CPU. */
	if (ioctl(vmm.vm, KVM_CREATE_IRQCHIP) || vcpu_make(&vmm, &cpu, 0) ||
	    guest_start(&cpu, &job) || ioctl(cpu.fd, KVM_GET_REGS, &regs))
		return -1;
	regs.rflags |= EFLAGS_IF;
	return ioctl(cpu.fd, KVM_SET_REGS, &regs);
}

static unsigned long taint(void)
{
	FILE *f = fopen("/proc/sys/kernel/tainted", "r");
	unsigned long value = -1UL;

	if (f && fscanf(f, "%lu", &value) != 1)
		value = -1UL;
	if (f)
		fclose(f);
	return value;
}

static void spend(unsigned int *state)
{
	usleep(next_random(state) % 300);
}

TEST(paging_in_beside_conversions)
{
	unsigned long tainted = taint();
	pthread_t guest, pager;
	unsigned int state = 1;
	bool done = false;
	time_t last;

	if (!vmm_has_type(KVM_X86_SW_PROTECTED_VM))
		SKIP(return, "no /dev/kvm, or not for such a virtual machine");
	ASSERT_EQ(0, vmm_make(&vmm, KVM_X86_SW_PROTECTED_VM));
	ASSERT_EQ(0, start_guest());
	ASSERT_EQ(0, make_memory());
	ASSERT_EQ(0, pthread_create(&pager, NULL, page_in, &done));
	ASSERT_EQ(0, pthread_create(&guest, NULL, run_guest, NULL));
	ASSERT_GT(race_seconds(), 0);
	last = seconds() + race_seconds();
	while (seconds() < last && taint() == tainted) {
		ASSERT_EQ(0, madvise(shared, SIZE, MADV_DONTNEED));
		ASSERT_EQ(0, set_private(true));
		spend(&state);
		ASSERT_EQ(0, set_private(false));
		spend(&state);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	vcpu_stop(&cpu, guest);
	ASSERT_EQ(0, pthread_join(guest, NULL));
	vcpu_close(&cpu);
	vmm_close(&vmm);
	/* Stop the pager after the end of the machine, which may still wait for a page. */
	__atomic_store_n(&done, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(pager, NULL));
	TH_LOG("paged in %lu times", paged_in);
	EXPECT_GT(paged_in, 0);
	EXPECT_EQ(0, astray);
	EXPECT_EQ(tainted, taint());
}

TEST_HARNESS_MAIN

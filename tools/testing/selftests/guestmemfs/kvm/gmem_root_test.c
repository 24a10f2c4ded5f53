// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM shadows page tables for the first time, those of a nested guest, while a memslot is being
 * deleted. KVM allocates the reverse maps of all slots then, but not of the slot that is being
 * deleted. A hole that is punched in the file of that slot must not access its reverse map.
 */
#include <sys/syscall.h>

#include "gmem_fixture.h"
#include "gmem_stop.h"

#define OTHER_SLOT	2
#define OTHER_GPA	(FILE_GPA + GIB)
#define NR_BLOCKS	4

/* The guest's tables by which its nested guest has all memory at the same addresses. */
#define TABLES_SLOT	3
#define TABLES_GPA	0x20000UL
#define NR_TABLES	2

#define ENTRY_TABLE	0x27
#define ENTRY_GIGABYTE	0xe7

#define EFER_LME	0x100
#define EFER_LMA	0x400
#define EFER_SVME	0x1000
#define CR0_LONG	0x80000031	/* PE, ET, NE, PG */
#define CR4_PAE		0x20

/* Fields of a VMCB, see struct vmcb of the kernel. */
#define VMCB_INTERCEPT_VMRUN	0x10
#define VMCB_ASID		0x58
#define VMCB_NESTED_PAGING	0x90
#define VMCB_NESTED_CR3		0xb0
#define VMCB_EFER		0x4d0
#define VMCB_CR4		0x548
#define VMCB_CR3		0x550
#define VMCB_CR0		0x558
#define VMCB_RFLAGS		0x570

static void put(char *vmcb, unsigned int at, uint64_t value)
{
	memcpy(vmcb + at, &value, sizeof(value));
}

static int add_tables(const struct vmm *v)
{
	uint64_t *tables = mmap(NULL, NR_TABLES * PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t *pdpt = tables + PAGE / sizeof(*tables);
	unsigned int i;

	if (tables == MAP_FAILED)
		return -1;
	tables[0] = (TABLES_GPA + PAGE) | ENTRY_TABLE;
	for (i = 0; i < VMM_LIMIT / GIB; i++)
		pdpt[i] = i * GIB | ENTRY_GIGABYTE;
	return vmm_add_memory(v, TABLES_SLOT, TABLES_GPA, tables, NR_TABLES * PAGE);
}

/*
 * Enters a nested guest whose page tables are those of vmm.c. The guest has no state to which it
 * could return.
 */
static int enter_nested_guest(const struct vcpu *c)
{
	size_t size = sizeof(struct kvm_nested_state) + KVM_STATE_NESTED_SVM_VMCB_SIZE;
	struct kvm_nested_state *state = calloc(1, size);
	char *vmcb = (char *)state->data.svm[0].vmcb12;
	struct kvm_sregs sregs;
	int ret;

	state->flags = KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_GIF_SET;
	state->format = KVM_STATE_NESTED_FORMAT_SVM;
	state->size = size;
	state->hdr.svm.vmcb_pa = VMM_LOW_GPA;
	vmcb[VMCB_INTERCEPT_VMRUN] = 1;
	vmcb[VMCB_ASID] = 1;
	vmcb[VMCB_NESTED_PAGING] = 1;
	put(vmcb, VMCB_NESTED_CR3, TABLES_GPA);
	put(vmcb, VMCB_EFER, EFER_SVME | EFER_LME | EFER_LMA);
	put(vmcb, VMCB_CR4, CR4_PAE);
	put(vmcb, VMCB_CR3, VMM_LOW_GPA);
	put(vmcb, VMCB_CR0, CR0_LONG);
	put(vmcb, VMCB_RFLAGS, 2);
	ret = ioctl(c->fd, KVM_GET_SREGS, &sregs);
	sregs.efer |= EFER_SVME;
	ret = ret ?: ioctl(c->fd, KVM_SET_SREGS, &sregs);
	ret = ret ?: ioctl(c->fd, KVM_SET_NESTED_STATE, state);
	free(state);
	return ret;
}

/* A thread that deletes a memslot. */
struct deleter {
	const struct vmm *vmm;
	pid_t tid;
	int err;
};

static void *delete_slot(void *arg)
{
	struct deleter *d = arg;

	__atomic_store_n(&d->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	d->err = ERR(vmm_remove(d->vmm, FILE_SLOT));
	return NULL;
}

/* Is the thread in an uninterruptible sleep? It waits for the stopped fault then. */
static bool sleeps(pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (f && fscanf(f, "%*d %*s %c", &state) != 1)
		state = 0;
	if (f)
		fclose(f);
	return state == 'D';
}

static bool wait_for_sleep(struct deleter *d)
{
	int i, asleep = 0;
	pid_t tid;

	for (i = 0; i < 1000 && asleep < 20; i++) {
		usleep(10000);
		tid = __atomic_load_n(&d->tid, __ATOMIC_SEQ_CST);
		asleep = tid && sleeps(tid) ? asleep + 1 : 0;
	}
	return asleep == 20;
}

static void *touch_other(void *arg)
{
	return (void *)(long)guest_touch(arg, OTHER_GPA, 1, 0);
}

static bool has_nesting(void)
{
	FILE *f = fopen("/sys/module/kvm_amd/parameters/nested", "r");
	int c = f ? getc(f) : EOF;

	if (f)
		fclose(f);
	return c == 'Y' || c == '1';
}

/* Two files, one of which is in the slot that is deleted. */
struct scene {
	struct vmm *vmm;
	struct vcpu *cpu;
	struct vcpu nested;
	int fd, gmem;
	int other, other_gmem;
};

static bool make_scene(struct scene *s, const struct pool *p, uint32_t flags)
{
	if (add_tables(s->vmm) || vcpu_make(s->vmm, &s->nested, 1) ||
	    enter_nested_guest(&s->nested))
		return false;
	s->fd = ram_make(p, s->vmm, flags, NR_BLOCKS * BLOCK, &s->gmem);
	s->other = file_make(p, "other", BLOCK);
	s->other_gmem = gmem_create(s->other, s->vmm->vm, flags);
	return s->fd >= 0 &&
	       !vmm_bind(s->vmm, OTHER_SLOT, OTHER_GPA, BLOCK, s->other_gmem, 0) &&
	       guest_fill(s->cpu, FILE_GPA, NR_BLOCKS * BLOCK, 1) == VCPU_DONE;
}

/*
 * The stopped fault holds kvm->srcu, so that the deletion of the slot waits for it. Meanwhile, the
 * nested guest's page tables are shadowed for the first time, and a hole is punched in the file of
 * the slot. The fault continues when the invalidation for the hole has begun. Returns false if that
 * sequence did not happen.
 */
static bool play(struct scene *s)
{
	struct deleter d = { .vmm = s->vmm, .err = -1 };
	pthread_t faulter, remover;
	bool ret;
	void *end;

	if (!write_stop(NEXT_STOPS) || pthread_create(&faulter, NULL, touch_other, s->cpu))
		return false;
	ret = wait_for_stop();
	if (!ret)
		write_stop(0);
	if (pthread_create(&remover, NULL, delete_slot, &d))
		return false;
	ret = ret && wait_for_sleep(&d) &&
	      guest_touch(&s->nested, VMM_LOW_GPA, 1, 0) == VCPU_DONE &&
	      read_stop() == HAS_STOPPED && sleeps(d.tid);
	/*
	 * Do not punch the first block, for which a missing reverse map would look like an empty
	 * one.
	 */
	ret = !fallocate(s->fd, PUNCH, BLOCK, BLOCK) && ret;
	return !pthread_join(faulter, &end) && !pthread_join(remover, NULL) && ret && !d.err &&
	       (long)end == VCPU_DONE;
}

/* Guest and nested guest work with a new slot at the same address. */
static bool goes_on(struct scene *s)
{
	return !vmm_bind(s->vmm, FILE_SLOT, FILE_GPA, NR_BLOCKS * BLOCK, s->gmem, 0) &&
	       guest_fill(&s->nested, FILE_GPA, NR_BLOCKS * BLOCK, 2) == VCPU_DONE &&
	       guest_check(s->cpu, FILE_GPA, NR_BLOCKS * BLOCK, 2) == VCPU_DONE;
}

TEST_F(gmem, first_shadow_root_while_a_slot_goes)
{
	struct scene s = { .vmm = &self->vmm, .cpu = &self->cpu };

	if (!has_svm() || !has_tdp() || !has_nesting())
		SKIP(return, "no nested guests, or not AMD's");
	ASSERT_TRUE(make_scene(&s, &self->p, variant->flags));
	ASSERT_TRUE(play(&s));
	EXPECT_TRUE(goes_on(&s));
}

TEST_HARNESS_MAIN

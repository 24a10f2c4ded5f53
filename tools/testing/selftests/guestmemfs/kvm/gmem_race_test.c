// SPDX-License-Identifier: GPL-2.0-only
/*
 * Conversions race with running guests, with accesses by the host, with holes and truncation, and
 * with descriptors, slots and machines that are made and removed, and with changes of a slot's
 * flags, for GMEM_RACE_SECONDS. At the end all contents that were not removed are there, and pages
 * have the kind that they were converted to.
 */
#include "gmem_fixture.h"
#include "move.h"

/* The most seconds that are added on a slow machine. */
#define MORE_SECONDS	200

/* The parts of the file, in pages. */
#define COUNTED		0U
#define KEPT		(2 * BLOCK_PAGES)
#define LOST		(6 * BLOCK_PAGES)
#define REBOUND		(10 * BLOCK_PAGES)
#define TAIL		(12 * BLOCK_PAGES)
#define NR_PAGES	(14 * BLOCK_PAGES)

#define BLOCK_PAGES	512U
#define SIZE		(NR_PAGES * PAGE)
#define SECOND_SLOT	2
#define THIRD_SLOT	3
#define COUNTED_WORDS	((KEPT - COUNTED - 1) * PAGE / 8)

/* The kept part has a pattern with this seed; the lost part has bytes of TAG or zeroes. */
#define KEPT_SEED	3
#define TAG		0x41

/**
 * struct zone - a part of the file that threads convert
 * @first: first page
 * @last: page after the last one
 * @shrinks: it may be after the end of the file
 * @lock: held during a conversion and the update of is_private[]
 */
struct zone {
	unsigned int first;
	unsigned int last;
	bool shrinks;
	pthread_mutex_t lock; /* is_private of its pages */
};

static struct zone zones[] = {
	{ COUNTED, LOST, false, PTHREAD_MUTEX_INITIALIZER },
	{ LOST, NR_PAGES, true, PTHREAD_MUTEX_INITIALIZER },
};

static bool is_private[NR_PAGES];

static const struct vmm *vmm;
static struct vcpu cpus[3];
static const char *ram_path;
static unsigned long vm_type;
static uint32_t gmem_flags;
static int ram, gmem, spare;
static char *map;
static bool stop;
static unsigned long done[16];
static unsigned long wrong;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void is_wrong(const char *what, unsigned long detail)
{
	/* A few reports are enough. */
	if (__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED) < 10)
		printf("# wrong: %s, %#lx\n", what, detail);
}

static unsigned int random_page(unsigned int *state, unsigned int first, unsigned int last)
{
	return first + next_random(state) % (last - first);
}

static void convert(unsigned int first, unsigned int last, bool private)
{
	struct zone *zone = &zones[first >= zones[1].first];
	unsigned int i;
	int err;

	pthread_mutex_lock(&zone->lock);
	err = ERR(gmem_convert(gmem, first * PAGE, (last - first) * PAGE,
			       private ? GMEM_PRIVATE : GMEM_SHARED));
	for (i = first; !err && i < last; i++)
		is_private[i] = private;
	pthread_mutex_unlock(&zone->lock);
	if (err && !(err == EINVAL && zone->shrinks && last > TAIL))
		is_wrong("conversion", err);
}

static void convert_some(unsigned int *state, const struct zone *zone)
{
	unsigned int first = random_page(state, zone->first, zone->last), last;

	switch (next_random(state) % 4) {
	case 0:
		first -= first % BLOCK_PAGES;
		last = first + BLOCK_PAGES;
		break;
	case 1:
		last = random_page(state, first, zone->last) + 1;
		break;
	default:
		last = first + 1;
	}
	convert(first, last, next_random(state) % 2);
}

static void convert_first(unsigned int *state)
{
	convert_some(state, &zones[0]);
}

static void convert_second(unsigned int *state)
{
	convert_some(state, &zones[1]);
}

static void share_what_it_needs(unsigned long type, const struct vcpu *c)
{
	uint64_t offset = c->run->memory_fault.gpa - FILE_GPA;

	if (offset >= SIZE)
		is_wrong("fault outside the file", offset);
	else if (type == KVM_X86_DEFAULT_VM)
		convert(offset / PAGE, offset / PAGE + 1, false);
}

/*
 * Continues a guest like a VMM: makes shared what the guest needs, and repeats accesses after the
 * end of the file.
 */
static enum vcpu_end go_on_as(unsigned long type, struct vcpu *c, enum vcpu_end end)
{
	while ((end == VCPU_FAULT || end == VCPU_NO_MEMORY) && !stopped()) {
		if (end == VCPU_FAULT)
			share_what_it_needs(type, c);
		usleep(10);
		end = vcpu_go(c);
	}
	return end;
}

static enum vcpu_end go_on(struct vcpu *c, enum vcpu_end end)
{
	return go_on_as(vm_type, c, end);
}

/*
 * A guest that was shut down has lost its registers. This tells whether its memory was damaged, or
 * its second stage (another CPU cannot read the memory), or only its CPU.
 */
static void went_astray(void)
{
	enum vcpu_end end = guest_touch(&cpus[2], VMM_LOW_GPA, VMM_LOW_PAGES * PAGE / 8, 8);

	printf("# program and page tables of the guest that counts: %s; for another CPU: %s\n",
	       vmm_is_intact(vmm) ? "intact" : "damaged", end == VCPU_DONE ? "there" : "not there");
}

/*
 * Runs the guest that counts for ever. It is only interrupted by memory that it cannot access at
 * the moment.
 */
static void guest_counts(unsigned int *state)
{
	static bool started;
	const struct guest_job job = {
		.command = GUEST_COUNT,
		.gpa = FILE_GPA + (COUNTED + 1) * PAGE,
		.words = COUNTED_WORDS,
		.counter = FILE_GPA + COUNTED * PAGE,
	};
	enum vcpu_end end;

	(void)state;
	if (!started)
		guest_start(&cpus[0], &job);
	started = true;
	end = go_on(&cpus[0], vcpu_go(&cpus[0]));
	if (end != VCPU_STOPPED && end != VCPU_FAULT && end != VCPU_NO_MEMORY)
		is_wrong("counting", end);
	if (end == VCPU_ASTRAY)
		went_astray();
}

static bool is_tag_or_zero(uint64_t word)
{
	for (; word; word >>= 8)
		if (word & 0xff && (word & 0xff) != TAG)
			return false;
	return true;
}

static void guest_looks(unsigned int *state)
{
	uint64_t gpa = FILE_GPA + random_page(state, LOST, REBOUND) * PAGE;
	struct vcpu *c = &cpus[1];
	enum vcpu_end end;
	struct kvm_regs regs;

	end = go_on(c, guest_check(c, FILE_GPA + KEPT * PAGE, (LOST - KEPT) * PAGE, KEPT_SEED));
	if (end == VCPU_BAD || end == VCPU_ASTRAY)
		is_wrong("what a guest finds in the kept part", end);
	go_on(c, guest_store(c, gpa, 0x0101010101010101 * TAG));
	end = go_on(c, guest_touch(c, gpa, 1, 0));
	if (end == VCPU_DONE && !ioctl(c->fd, KVM_GET_REGS, &regs) && !is_tag_or_zero(regs.rax))
		is_wrong("what a guest finds in the lost part", regs.rax);
	gpa = FILE_GPA + random_page(state, TAIL, NR_PAGES) * PAGE;
	if (go_on(c, guest_touch(c, gpa, 1, 0)) == VCPU_ASTRAY)
		is_wrong("what a guest meets at the end", gpa);
}

/* Reads a byte of the kept part as the host: it is the pattern or SIGBUS. */
static int look_at_kept(unsigned int page, unsigned int at)
{
	/* The low byte of a word of the pattern. */
	unsigned char expected = ((page - KEPT) * PAGE + at) / 8 + 1;
	int value = peek(map + page * PAGE + at);

	if (value != FAULT(SIGBUS) && value != expected)
		is_wrong("what the host finds in the kept part", value);
	return value;
}

static void host_looks(unsigned int *state)
{
	unsigned int kept = random_page(state, KEPT, LOST);
	unsigned int any = random_page(state, LOST, NR_PAGES);
	unsigned int at = next_random(state) % (PAGE / 8) * 8;
	int value;

	look_at_kept(kept, at);
	poke(map + any * PAGE + at, TAG);
	value = peek(map + any * PAGE + at);
	if (value && value != FAULT(SIGBUS) && value != TAG)
		is_wrong("what the host finds in the lost part", value);
	/* While the lock prevents conversions, exactly the shared pages can be read. */
	kept = random_page(state, KEPT, LOST);
	pthread_mutex_lock(&zones[0].lock);
	if ((look_at_kept(kept, at) < 0) != is_private[kept])
		is_wrong("what the host can have of the kept part", kept);
	pthread_mutex_unlock(&zones[0].lock);
}

static void punch_or_fill(unsigned int *state)
{
	unsigned int first = random_page(state, LOST, TAIL);
	unsigned int nr = random_page(state, 1, TAIL - first + 1);

	if (fallocate(next_random(state) % 2 ? ram : gmem, next_random(state) % 4 ? PUNCH : 0,
		      first * PAGE, nr * PAGE))
		is_wrong("fallocate", errno);
}

/*
 * Exchanges blocks of the lost part with those of another file, which have the same bytes or
 * zeroes. Contents of private pages do not move.
 */
static void move_some(unsigned int *state)
{
	unsigned int nr = (TAIL - LOST) / BLOCK_PAGES, at = next_random(state) % nr;
	uint64_t offset = LOST * PAGE + at * BLOCK;
	uint32_t flags = next_random(state) % 4 ? EXCHANGE : 0;
	int err;

	if (next_random(state) % 2)
		flags |= MOVE_ZERO;
	nr = 1 + next_random(state) % (nr - at);
	if (next_random(state) % 2)
		err = move(ram, offset, spare, at * BLOCK, nr * BLOCK, flags);
	else
		err = move(spare, at * BLOCK, gmem, offset, nr * BLOCK, flags);
	if (err && !(err == EEXIST && !(flags & EXCHANGE)) &&
	    !(err == EPERM && !(flags & MOVE_ZERO)))
		is_wrong("moving", err);
}

static void resize(unsigned int *state)
{
	if (ftruncate(ram, random_page(state, TAIL, NR_PAGES) * PAGE) || ftruncate(ram, SIZE))
		is_wrong("ftruncate", errno);
}

/* Binds a part of the file in a second slot by a new descriptor, and prefaults it. */
static void descriptors(unsigned int *state)
{
	const size_t len = (TAIL - REBOUND) * PAGE;
	struct kvm_pre_fault_memory range = { .gpa = FILE_GPA + REBOUND * PAGE, .size = len };
	int fd = open(ram_path, O_RDWR), own = gmem_create(fd, vmm->vm, gmem_flags);
	bool own_first = next_random(state) % 2;

	if (vmm_bind(vmm, SECOND_SLOT, range.gpa, len, own, REBOUND * PAGE))
		is_wrong("a descriptor or its slot", errno);
	close(own_first ? own : fd);
	if (ioctl(cpus[2].fd, KVM_PRE_FAULT_MEMORY, &range) && errno != EFAULT && errno != EAGAIN)
		is_wrong("KVM_PRE_FAULT_MEMORY", errno);
	if (vmm_remove(vmm, SECOND_SLOT))
		is_wrong("removing a slot", errno);
	close(own_first ? fd : own);
}

/* Makes a second machine that has the same memory; it can access the shared part of it. */
static void machines(unsigned int *state)
{
	uint64_t gpa = FILE_GPA + random_page(state, KEPT, LOST) * PAGE;
	uint64_t word = (gpa - FILE_GPA - KEPT * PAGE) / 8 + 1;
	struct guest_job job = {
		.command = GUEST_CHECK, .gpa = gpa, .words = PAGE / 8, .stride = 8,
		.value = ((uint64_t)KEPT_SEED << 40) + word,
	};
	struct vcpu c;
	struct vmm v;
	int own;

	if (vmm_make(&v, KVM_X86_DEFAULT_VM) || vcpu_make(&v, &c, 0)) {
		is_wrong("a machine", errno);
		return;
	}
	own = gmem_create(ram, v.vm, gmem_flags);
	if (own < 0 || vmm_bind(&v, 1, FILE_GPA, TAIL * PAGE, own, 0))
		is_wrong("a machine's slot", errno);
	close(own);
	if (go_on_as(KVM_X86_DEFAULT_VM, &c, guest_do(&c, &job)) == VCPU_BAD)
		is_wrong("what another machine finds in the kept part", gpa);
	vmm_close(&v);
	vcpu_close(&c);
}

static void states(unsigned int *state)
{
	uint64_t offset = next_random(state) % SIZE;
	struct guestmemfs_get_state s;

	if (gmem_get_state(ram, offset, &s)) {
		if (errno != ENXIO || offset < TAIL * PAGE)
			is_wrong("GET_STATE", errno);
		return;
	}
	/* Nothing is pinned in this test, so that no page is held or being truncated. */
	if (s.state & ~(PRIVATE | ALLOCATED) || !s.length || s.length % PAGE ||
	    s.length > SIZE - offset / PAGE * PAGE || (s.order != ORDER_4K && s.order != ORDER_2M))
		is_wrong("a state", s.state);
	if (offset < LOST * PAGE && !(s.state & ALLOCATED))
		is_wrong("the state of what nobody has taken away", s.state);
}

/* Begins or ends the log of the first slot: it is another structure in KVM after that. */
static void change_flags(unsigned int *state)
{
	uint32_t flags = next_random(state) % 2 ? KVM_MEM_LOG_DIRTY_PAGES : 0;
	int err;

	err = ERR(vmm_bind_as(vmm, FILE_SLOT, flags, FILE_GPA, REBOUND * PAGE, gmem, 0));
	if (err && !(err == EINVAL && flags && vm_type != KVM_X86_DEFAULT_VM))
		is_wrong("flags of a slot", err);
}

static void (*const actions[])(unsigned int *state) = {
	guest_counts, guest_looks, host_looks, convert_first, convert_second, punch_or_fill,
	move_some, resize, descriptors, machines, states, change_flags,
};

static void *run(void *arg)
{
	size_t i = (size_t)arg;
	unsigned int state = 2463534242U + i;

	while (!stopped()) {
		actions[i](&state);
		done[i]++;
		usleep(next_random(&state) % 1000);
	}
	return NULL;
}

/* Has each action been completed, and has the guest that counts made a round? */
static bool have_begun(void)
{
	int value;
	size_t i;

	convert(COUNTED, COUNTED + 1, false);
	value = peek(map + COUNTED * PAGE);
	for (i = 1; i < ARRAY_SIZE(actions); i++)
		if (!__atomic_load_n(&done[i], __ATOMIC_RELAXED))
			return false;
	return value > 0;
}

/*
 * Reports actions that were never completed. Call this before joining the threads: a thread that
 * hangs in the kernel would be joined for ever.
 */
static void tell_late_ones(void)
{
	size_t i;

	for (i = 1; i < ARRAY_SIZE(actions); i++)
		if (!__atomic_load_n(&done[i], __ATOMIC_RELAXED))
			printf("# action %zu has not come to an end once\n", i);
	fflush(stdout);
}

/*
 * Each word is its index plus the rounds. Words before the place where the guest has stopped have
 * one round more.
 */
static bool is_counted(const uint64_t *words, uint64_t rounds)
{
	bool behind = false;
	size_t i;

	for (i = 0; i < COUNTED_WORDS; i++) {
		behind |= words[i] != i + rounds + 1;
		if (words[i] != i + rounds + !behind)
			return false;
	}
	return true;
}

static bool prepare(struct pool *p, struct vmm *v, struct vcpu *first)
{
	unsigned int i;

	vmm = v;
	cpus[0] = *first;
	ram = file_make(p, "ram", SIZE);
	spare = file_make(p, "spare", (TAIL - LOST) * PAGE);
	ram_path = pool_path(p, "ram");
	gmem = gmem_create(ram, v->vm, gmem_flags);
	map = map_file(ram, 0, SIZE);
	if (gmem < 0 || map == MAP_FAILED ||
	    vmm_bind(v, FILE_SLOT, FILE_GPA, REBOUND * PAGE, gmem, 0) ||
	    vmm_bind(v, THIRD_SLOT, FILE_GPA + TAIL * PAGE, SIZE - TAIL * PAGE, gmem,
		     TAIL * PAGE) ||
	    vcpu_make(v, &cpus[1], 1) || vcpu_make(v, &cpus[2], 2) ||
	    gmem_convert(gmem, 0, SIZE, GMEM_SHARED))
		return false;
	for (i = 0; i < COUNTED_WORDS; i++)
		((uint64_t *)(map + PAGE))[i] = i;
	fill(map + KEPT * PAGE, (LOST - KEPT) * PAGE, KEPT_SEED);
	return true;
}

TEST_F_TIMEOUT(gmem, all_against_all, 600)
{
	pthread_t threads[ARRAY_SIZE(actions)];
	struct kvm_regs regs;
	unsigned int page;
	uint64_t *counter;
	time_t last;
	size_t i;

	vm_type = variant->type;
	gmem_flags = variant->flags;
	ASSERT_GT(race_seconds(), 0);
	ASSERT_TRUE(prepare(&self->p, &self->vmm, &self->cpu));
	for (i = 0; i < ARRAY_SIZE(actions); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, run, (void *)i));
	sleep(race_seconds());
	/* Wait for seconds and not for a number of attempts, which take long on a slow machine. */
	last = seconds() + MORE_SECONDS;
	while (!have_begun() && seconds() < last)
		sleep(1);
	tell_late_ones();
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		vcpu_stop(&cpus[i], threads[i]);
	for (i = 0; i < ARRAY_SIZE(actions); i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		/* An action that was never completed has tested nothing. */
		EXPECT_GT(done[i], 0);
		TH_LOG("action %zu: %lu times", i, done[i]);
	}
	EXPECT_EQ(0, wrong);
	for (page = 0; page < NR_PAGES; page++)
		EXPECT_EQ(is_private[page] ? PRIVATE : 0, gmem_state(ram, page * PAGE) & PRIVATE)
			TH_LOG("page %u", page);
	ASSERT_EQ(0, gmem_convert(gmem, 0, SIZE, GMEM_SHARED));
	EXPECT_TRUE(is_filled(map + KEPT * PAGE, (LOST - KEPT) * PAGE, KEPT_SEED));
	for (page = LOST; page < NR_PAGES; page++)
		for (i = 0; i < PAGE; i += 8)
			ASSERT_TRUE(is_tag_or_zero(*(uint64_t *)(map + page * PAGE + i)));
	ASSERT_EQ(0, ioctl(cpus[0].fd, KVM_GET_REGS, &regs));
	counter = (uint64_t *)(map + COUNTED * PAGE);
	printf("# the guest has counted %llu rounds\n", regs.rbx);
	EXPECT_GT(regs.rbx, 0);
	/* The guest may have stopped after a round, before it has written the number of rounds. */
	EXPECT_GE(1, regs.rbx - *counter);
	EXPECT_TRUE(is_counted((uint64_t *)(map + PAGE), *counter));
	EXPECT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
	EXPECT_EQ(0, vmm_remove(&self->vmm, THIRD_SLOT));
}

TEST_HARNESS_MAIN

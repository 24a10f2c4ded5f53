/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the guests of vmm.c do, in 64-bit mode: independent of its place, without
 * stack and interrupts. A command begins at its label, with its arguments in
 * registers, and ends with hlt. rcx then is what it has not done: not 0 if a check
 * has failed.
 */
#define MSR_KERNEL_GS_BASE	0xc0000102

	.section .rodata
	.globl vmm_guest, vmm_guest_fill, vmm_guest_check, vmm_guest_touch, vmm_guest_count
	.globl vmm_guest_nest, vmm_guest_end, vmm_nested, vmm_nested_end
vmm_guest:

/* Makes rcx words, rdx bytes apart from rdi on, rax and what follows rax. */
vmm_guest_fill:
	mov	%rax, (%rdi)
	inc	%rax
	add	%rdx, %rdi
	dec	%rcx
	jnz	vmm_guest_fill
	hlt

/* Are these words what they are after fill? If not, rdi is where the first is that is not. */
vmm_guest_check:
	cmp	%rax, (%rdi)
	jne	1f
	inc	%rax
	add	%rdx, %rdi
	dec	%rcx
	jnz	vmm_guest_check
1:	hlt

/* Reads them. The last one is in rax. */
vmm_guest_touch:
	mov	(%rdi), %rax
	add	%rdx, %rdi
	dec	%rcx
	jnz	vmm_guest_touch
	hlt

/*
 * For ever: adds one to each of r8 words from rsi on, which are their number
 * plus the rounds that were made; the rounds are in rbx, in the word that r9
 * points to, in xmm0 and in an MSR. It ends when one of them is wrong.
 */
vmm_guest_count:
	mov	%rbx, %rax
	mov	%rsi, %rdi
	mov	%r8, %rcx
1:	cmp	%rax, (%rdi)
	jne	2f
	inc	%rax
	mov	%rax, (%rdi)
	add	$8, %rdi
	dec	%rcx
	jnz	1b
	mov	$MSR_KERNEL_GS_BASE, %ecx
	cmp	%rbx, (%r9)
	jne	2f
	movq	%xmm0, %rax
	cmp	%rbx, %rax
	jne	2f
	rdmsr
	shl	$32, %rdx
	or	%rdx, %rax
	cmp	%rbx, %rax
	jne	2f
	inc	%rbx
	mov	%rbx, (%r9)
	movq	%rbx, %xmm0
	mov	%rbx, %rax
	mov	%rbx, %rdx
	shr	$32, %rdx
	wrmsr
	jmp	vmm_guest_count
2:	hlt

/* Of a struct vmcb. */
#define VMCB_EXIT_CODE		0x70
#define VMCB_RIP		0x578
#define EXIT_VMMCALL		0x81
#define VMMCALL_LENGTH		3

/*
 * Has the guest of the VMCB at rdi run rcx times, until it calls. It leaves these registers
 * alone, and those that VMRUN does not switch are its own as well: r9 is where it counts.
 */
vmm_guest_nest:
	mov	%rdi, %rax
	vmrun	%rax
	stgi
	cmpq	$EXIT_VMMCALL, VMCB_EXIT_CODE(%rdi)
	jne	3f
	addq	$VMMCALL_LENGTH, VMCB_RIP(%rdi)
	dec	%rcx
	jnz	vmm_guest_nest
3:	hlt

vmm_guest_end:

/* The guest's guest: adds one to the word that r9 points to, and calls, for ever. */
vmm_nested:
	incq	(%r9)
	vmmcall
	jmp	vmm_nested
vmm_nested_end:

	.section .note.GNU-stack, "", @progbits

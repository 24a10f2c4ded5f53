/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The program of the guests of vmm.c, in 64-bit mode. It is position independent, and has no stack
 * and no interrupts. A command begins at its label, with its arguments in registers, and ends with
 * hlt. rcx is the number of words that are left then: not 0 if a check has failed.
 */
#define MSR_KERNEL_GS_BASE	0xc0000102

	.section .rodata
	.globl vmm_guest, vmm_guest_fill, vmm_guest_check, vmm_guest_touch, vmm_guest_count
	.globl vmm_guest_nest, vmm_guest_end, vmm_nested, vmm_nested_end
vmm_guest:

/* Stores rcx words, rdx bytes apart, from rdi on: rax and the following numbers. */
vmm_guest_fill:
	mov	%rax, (%rdi)
	inc	%rax
	add	%rdx, %rdi
	dec	%rcx
	jnz	vmm_guest_fill
	hlt

/* Checks the words of vmm_guest_fill. If one is wrong, rdi is its address. */
vmm_guest_check:
	cmp	%rax, (%rdi)
	jne	1f
	inc	%rax
	add	%rdx, %rdi
	dec	%rcx
	jnz	vmm_guest_check
1:	hlt

/* Reads the words. The last one is in rax. */
vmm_guest_touch:
	mov	(%rdi), %rax
	add	%rdx, %rdi
	dec	%rcx
	jnz	vmm_guest_touch
	hlt

/*
 * Runs for ever: adds one to each of r8 words from rsi on. A word is its index plus the number of
 * rounds, which is in rbx, in the word at r9, in xmm0 and in an MSR. Ends when one of them is
 * wrong.
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

/* Offsets in struct vmcb. */
#define VMCB_EXIT_CODE		0x70
#define VMCB_RIP		0x578
#define EXIT_VMMCALL		0x81
#define VMMCALL_LENGTH		3

/*
 * Runs the nested guest of the VMCB at rdi rcx times, each time until its vmmcall. The nested guest
 * does not change these registers. It shares the registers that VMRUN does not switch: r9 is the
 * address of its counter.
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

/* The nested guest: adds one to the word at r9 and calls, for ever. */
vmm_nested:
	incq	(%r9)
	vmmcall
	jmp	vmm_nested
vmm_nested_end:

	.section .note.GNU-stack, "", @progbits

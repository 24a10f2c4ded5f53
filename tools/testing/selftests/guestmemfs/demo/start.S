/* SPDX-License-Identifier: GPL-2.0 */
/* The multiboot header (page aligned, memory sizes wanted) and the way into C. */

#define MAGIC 0x1badb002
#define FLAGS 0x00000003

	.section .multiboot, "a"
	.balign 4
	.long MAGIC, FLAGS, -(MAGIC + FLAGS)

	.text
	.globl _start
_start:
	mov $stack_end, %esp
	cld
	push %ebx
	push %eax
	call guest_main
1:	hlt
	jmp 1b

	.bss
	.balign 16
	.skip 8192
stack_end:

	.section .note.GNU-stack, "", @progbits

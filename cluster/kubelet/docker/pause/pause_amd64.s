#include "textflag.h"

// The signals are blocked, not handled: a blocked signal is kept for the first
// process of a namespace as well, and rt_sigtimedwait takes it without handlers.
// The set is SIGCHLD (17), SIGTERM (15) and SIGINT (2): bits 16, 14 and 1.
#define SIGNALS $0x14002

TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	SUBQ $64, SP
	MOVQ SIGNALS, AX
	MOVQ AX, 0(SP)
	MOVQ $14, AX // rt_sigprocmask(SIG_BLOCK, &set, nil, 8)
	MOVQ $0, DI
	MOVQ SP, SI
	MOVQ $0, DX
	MOVQ $8, R10
	SYSCALL

	// Where /netns stands for a network namespace, that is the sandbox's.
	MOVQ $0x736e74656e2f, AX // "/netns"
	MOVQ AX, 8(SP)
	MOVQ $2, AX              // open("/netns", O_RDONLY)
	LEAQ 8(SP), DI
	MOVQ $0, SI
	MOVQ $0, DX
	SYSCALL
	CMPQ AX, $0
	JLT  wait
	MOVQ AX, DI
	MOVQ $308, AX            // setns(fd, CLONE_NEWNET)
	MOVQ $0x40000000, SI
	SYSCALL
	CMPQ AX, $0
	JEQ  wait
	MOVQ $231, AX            // exit_group(1)
	MOVQ $1, DI
	SYSCALL

wait:
	MOVQ $128, AX // rt_sigtimedwait(&set, nil, nil, 8)
	MOVQ SP, DI
	MOVQ $0, SI
	MOVQ $0, DX
	MOVQ $8, R10
	SYSCALL
	CMPQ AX, $17
	JEQ  reap
	CMPQ AX, $0
	JLT  wait
	MOVQ $231, AX // exit_group(0)
	MOVQ $0, DI
	SYSCALL

reap:
	MOVQ $61, AX // wait4(-1, nil, WNOHANG, nil)
	MOVQ $-1, DI
	MOVQ $0, SI
	MOVQ $1, DX
	MOVQ $0, R10
	SYSCALL
	CMPQ AX, $0
	JGT  reap
	JMP  wait

TEXT ·entryPC(SB), NOSPLIT, $0-8
	LEAQ ·entry(SB), AX
	MOVQ AX, ret+0(FP)
	RET

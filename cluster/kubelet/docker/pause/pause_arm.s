#include "textflag.h"

// See pause_amd64.s; the same in the calls of the 32-bit EABI.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	SUB  $64, R13
	MOVW $0x4000, R4
	ADD  $0x10000, R4
	ADD  $2, R4
	MOVW R4, 0(R13)
	MOVW $0, R4
	MOVW R4, 4(R13)
	MOVW $175, R7 // rt_sigprocmask(SIG_BLOCK, &set, nil, 8)
	MOVW $0, R0
	MOVW R13, R1
	MOVW $0, R2
	MOVW $8, R3
	SWI  $0

	// Where /netns stands for a network namespace, that is the sandbox's.
	MOVW $0x6e00, R4      // "/n"
	ADD  $0x2f, R4
	MOVH R4, 8(R13)
	MOVW $0x7400, R4      // "et"
	ADD  $0x65, R4
	MOVH R4, 10(R13)
	MOVW $0x7300, R4      // "ns"
	ADD  $0x6e, R4
	MOVH R4, 12(R13)
	MOVW $0, R4
	MOVH R4, 14(R13)
	MOVW $5, R7           // open("/netns", O_RDONLY)
	ADD  $8, R13, R0
	MOVW $0, R1
	MOVW $0, R2
	SWI  $0
	CMP  $0, R0
	BLT  wait
	MOVW $0x100, R7       // setns(fd, CLONE_NEWNET): call 375
	ADD  $0x77, R7
	MOVW $0x40000000, R1
	SWI  $0
	CMP  $0, R0
	BEQ  wait
	MOVW $248, R7         // exit_group(1)
	MOVW $1, R0
	SWI  $0

wait:
	MOVW $177, R7 // rt_sigtimedwait(&set, nil, nil, 8)
	MOVW R13, R0
	MOVW $0, R1
	MOVW $0, R2
	MOVW $8, R3
	SWI  $0
	CMP  $17, R0
	BEQ  reap
	CMP  $0, R0
	BLT  wait
	MOVW $248, R7 // exit_group(0)
	MOVW $0, R0
	SWI  $0

reap:
	MOVW $114, R7 // wait4(-1, nil, WNOHANG, nil)
	MOVW $-1, R0
	MOVW $0, R1
	MOVW $1, R2
	MOVW $0, R3
	SWI  $0
	CMP  $0, R0
	BGT  reap
	B    wait

TEXT ·entryPC(SB), NOSPLIT, $0-4
	MOVW $·entry(SB), R0
	MOVW R0, ret+0(FP)
	RET

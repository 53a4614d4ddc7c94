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

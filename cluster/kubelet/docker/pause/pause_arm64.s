#include "textflag.h"

// See pause_amd64.s; the same in arm64's calls.
#define SIGNALS $0x14002

TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	SUB  $64, RSP
	MOVD SIGNALS, R9
	MOVD R9, 0(RSP)
	MOVD $135, R8 // rt_sigprocmask(SIG_BLOCK, &set, nil, 8)
	MOVD $0, R0
	MOVD RSP, R1
	MOVD $0, R2
	MOVD $8, R3
	SVC

	// Where /netns stands for a network namespace, that is the sandbox's.
	MOVD $0x6e2f, R9     // "/n"
	MOVH R9, 8(RSP)
	MOVD $0x7465, R9     // "et"
	MOVH R9, 10(RSP)
	MOVD $0x736e, R9     // "ns"
	MOVH R9, 12(RSP)
	MOVH ZR, 14(RSP)
	MOVD $56, R8         // openat(AT_FDCWD, "/netns", O_RDONLY, 0)
	MOVD $-100, R0
	ADD  $8, RSP, R1
	MOVD $0, R2
	MOVD $0, R3
	SVC
	CMP  $0, R0
	BLT  wait
	MOVD $268, R8        // setns(fd, CLONE_NEWNET)
	MOVD $0x40000000, R1
	SVC
	CMP  $0, R0
	BEQ  wait
	MOVD $94, R8         // exit_group(1)
	MOVD $1, R0
	SVC

wait:
	MOVD $137, R8 // rt_sigtimedwait(&set, nil, nil, 8)
	MOVD RSP, R0
	MOVD $0, R1
	MOVD $0, R2
	MOVD $8, R3
	SVC
	CMP  $17, R0
	BEQ  reap
	CMP  $0, R0
	BLT  wait
	MOVD $94, R8 // exit_group(0)
	MOVD $0, R0
	SVC

reap:
	MOVD $260, R8 // wait4(-1, nil, WNOHANG, nil)
	MOVD $-1, R0
	MOVD $0, R1
	MOVD $1, R2
	MOVD $0, R3
	SVC
	CMP  $0, R0
	BGT  reap
	B    wait

TEXT ·entryPC(SB), NOSPLIT, $0-8
	MOVD $·entry(SB), R0
	MOVD R0, ret+0(FP)
	RET

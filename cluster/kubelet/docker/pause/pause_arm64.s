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

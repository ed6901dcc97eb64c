#include "textflag.h"

// What follows is done to 16 bytes at off(SI): bits of backslashes go to the
// low half of AX, bits of quotes to that of BX, control characters to X11, all
// bits to X12.
#define SIXTEEN(off) \
	MOVOU    off(SI), X0 \
	MOVO     X0, X1      \
	PCMPEQB  X8, X1      \
	PMOVMSKB X1, AX      \
	MOVO     X0, X2      \
	PCMPEQB  X9, X2      \
	PMOVMSKB X2, BX      \
	MOVO     X0, X3      \
	PMINUB   X10, X3     \
	PCMPEQB  X0, X3      \
	POR      X3, X11     \
	POR      X0, X12

DATA slashes<>+0(SB)/8, $0x5c5c5c5c5c5c5c5c
DATA slashes<>+8(SB)/8, $0x5c5c5c5c5c5c5c5c
GLOBL slashes<>(SB), RODATA|NOPTR, $16
DATA quotes<>+0(SB)/8, $0x2222222222222222
DATA quotes<>+8(SB)/8, $0x2222222222222222
GLOBL quotes<>(SB), RODATA|NOPTR, $16
DATA controls<>+0(SB)/8, $0x1f1f1f1f1f1f1f1f
DATA controls<>+8(SB)/8, $0x1f1f1f1f1f1f1f1f
GLOBL controls<>(SB), RODATA|NOPTR, $16

// func scan(data *byte, out []marks) (control, wide uint64)
TEXT ·scan(SB), NOSPLIT, $0-48
	MOVQ  data+0(FP), SI
	MOVQ  out_base+8(FP), DI
	MOVQ  out_len+16(FP), CX
	MOVOU slashes<>(SB), X8
	MOVOU quotes<>(SB), X9
	MOVOU controls<>(SB), X10
	PXOR  X11, X11
	PXOR  X12, X12
	TESTQ CX, CX
	JZ    done

loop:
	SIXTEEN(0)
	MOVQ AX, R8
	MOVQ BX, R9
	SIXTEEN(16)
	SHLQ $16, AX
	SHLQ $16, BX
	ORQ  AX, R8
	ORQ  BX, R9
	SIXTEEN(32)
	SHLQ $32, AX
	SHLQ $32, BX
	ORQ  AX, R8
	ORQ  BX, R9
	SIXTEEN(48)
	SHLQ $48, AX
	SHLQ $48, BX
	ORQ  AX, R8
	ORQ  BX, R9
	MOVQ R8, (DI)
	MOVQ R9, 8(DI)
	ADDQ $64, SI
	ADDQ $16, DI
	DECQ CX
	JNZ  loop

done:
	PMOVMSKB X11, AX
	PMOVMSKB X12, BX
	MOVQ     AX, control+32(FP)
	MOVQ     BX, wide+40(FP)
	RET

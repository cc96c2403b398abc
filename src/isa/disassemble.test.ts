import { describe, expect, it } from "vitest";
import { Decoded, Decoder } from "./decode.ts";
import { BAD, disassemble } from "./disassemble.ts";
import { ROWS } from "./rows.ts";

const decoder = new Decoder(ROWS, new Set(ROWS.flatMap((row) => row.features)));
const decoded = new Decoded();

function text(codeBits: 16 | 32 | 64, hex: string, rip = 0x1000n): string {
  const bytes = Uint8Array.from(hex.replaceAll(" ", "").match(/../g)!, (h) => Number.parseInt(h, 16));
  decoder.decode(bytes, 0, bytes.length, { codeBits, protectedMode: true }, decoded);
  return disassemble(decoded, rip);
}

// What GNU objdump -M intel makes of the same bytes, spelled by the conventions of disassemble.ts.
const EXAMPLES: readonly [16 | 32 | 64, string, string][] = [
  [64, "48 89 44 24 08", "mov qword ptr [rsp+0x8], rax"],
  [64, "48 8b 05 10 00 00 00", "mov rax, qword ptr [rip+0x10]"],
  [64, "8b 84 c8 80 ff ff ff", "mov eax, dword ptr [rax+rcx*8-0x80]"],
  [64, "8b 04 25 10 00 00 00", "mov eax, dword ptr [0x10]"],
  [64, "65 48 8b 04 25 28 00 00 00", "mov rax, qword ptr gs:[0x28]"],
  [64, "67 8b 00", "mov eax, dword ptr [eax]"],
  [64, "40 88 e0", "mov al, spl"],
  [64, "88 e0", "mov al, ah"],
  [64, "41 50", "push r8"],
  [64, "6a ff", "push 0xffffffffffffffff"],
  [64, "66 6a 01", "data16 push 0x1"],
  [64, "f3 48 ab", "rep stosq qword ptr [rdi]"],
  [64, "f2 ae", "repne scasb byte ptr [rdi]"],
  [64, "f3 67 a6", "repe cmpsb byte ptr [esi], byte ptr [edi]"],
  [64, "f0 48 0f c7 09", "lock cmpxchg16b xmmword ptr [rcx]"],
  [64, "48 63 c1", "movsxd rax, ecx"],
  [64, "66 63 c1", "movsxd ax, cx"],
  [64, "48 98", "cdqe"],
  [64, "48 cf", "iretq"],
  [64, "48 cb", "data64 retf"],
  [64, "67 e2 fe", "addr32 loop 0x1001"],
  [64, "67 e3 fd", "jecxz 0x1000"],
  [64, "0f 83 fa ff ff ff", "jae 0x1000"],
  [64, "f2 0f 2a 01", "cvtsi2sd xmm0, dword ptr [rcx]"],
  [64, "66 0f 38 14 c1", "blendvps xmm0, xmm1, xmm0"],
  [64, "66 0f 3a 62 c1 05", "pcmpistrm xmm0, xmm1, 0x5"],
  [64, "44 0f 20 c0", "mov rax, cr8"],
  [64, "8e d8", "mov ds, ax"],
  [64, "48 ff 28", "jmp far tbyte ptr [rax]"],
  [64, "d8 c1", "fadd st, st(1)"],
  [64, "dc c1", "fadd st(1), st"],
  [64, "db 28", "fld tbyte ptr [rax]"],
  [64, "06", BAD],
  [32, "66 c3", "data16 ret"],
  [32, "26 8b 00", "mov eax, dword ptr es:[eax]"],
  [32, "36 8b 45 00", "mov eax, dword ptr [ebp]"],
  [32, "60", "pushad"],
  [16, "eb fe", "jmp 0x1000"],
  [16, "ea 34 12 78 56", "jmp far 0x1234, 0x5678"],
  [16, "8b 47 1f", "mov ax, word ptr [bx+0x1f]"],
  [16, "67 66 8b 04 8d 00 00 00 00", "mov eax, dword ptr [ecx*4]"],
];

describe("the disassembler", () => {
  it.each(EXAMPLES)("%i bits, %s: %s", (codeBits, bytes, wanted) => {
    expect(text(codeBits, bytes)).toBe(wanted);
  });

  it("wraps branch targets at the operand size", () => {
    expect(text(16, "eb 10", 0xffffn)).toBe("jmp 0x11");
    expect(text(64, "eb f0", 0n)).toBe("jmp 0xfffffffffffffff2");
  });
});

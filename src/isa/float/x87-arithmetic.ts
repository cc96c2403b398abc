/** x87 arithmetic, comparisons and transcendental functions (SDM vol. 1, 5.2.2 to 5.2.4). */
import { type I64, i32, i64 } from "../../wasm/index.ts";
import type { Context, Operand } from "../context.ts";
import type { Row } from "../row.ts";
import { sti, x87 } from "./x87-rows.ts";
import { readInteger } from "./x87-transfer.ts";

// As the runtime functions take them (cpu/float/x87-arithmetic.ts).
const REGISTER = i32(0);
const SINGLE = i32(1);
const DOUBLE = i32(2);
const INTEGER = i32(3);
const REVERSE = 1;
const NEGATE = 2;

const floatBits = (src: Operand): I64 => (src.bits === 64 ? (src.read() as I64) : src.read().extendU());

/** The encodings of one operation: `digit` in ModRM, and `mirrored`, its digit where ST(i) is the destination. */
function operation(mnemonic: string, runtime: string, digit: number, mirrored: number, how: number): Row[] {
  const name = `x87.${runtime}`;
  const flags = i32(how);
  const float = (m: Context, src: Operand) =>
    m.runtime(name, i32(0), src.bits === 64 ? DOUBLE : SINGLE, i32(0), floatBits(src), flags, i32(0));
  const integer = (m: Context, src: Operand) =>
    m.runtime(name, i32(0), INTEGER, i32(0), readInteger(src), flags, i32(0));
  const toTop = (m: Context, src: Operand) => m.runtime(name, i32(0), REGISTER, src.number(), i64(0), flags, i32(0));
  const toOther = (pops: number) => (m: Context, dst: Operand) =>
    m.runtime(name, dst.number(), REGISTER, i32(0), i64(0), flags, i32(pops));
  const byte = (d: number) => (0xc0 + 8 * d).toString(16).toUpperCase();
  return [
    ...x87(mnemonic, float, `D8 /${digit} | m32\n DC /${digit} | m64`),
    ...x87(`FI${mnemonic.slice(1)}`, integer, `DE /${digit} | m16\n DA /${digit} | m32`),
    ...x87(mnemonic, toTop, `D8 ${byte(digit)}+i | [st], sti`),
    ...x87(mnemonic, toOther(0), `DC ${byte(mirrored)}+i | rw:sti, [st]`),
    ...x87(`${mnemonic}P`, toOther(1), `DE ${byte(mirrored)}+i | rw:sti, [st]`),
  ];
}

const compareFloat = (pops: number) => (m: Context, src: Operand) =>
  m.runtime("x87.compare", src.bits === 64 ? DOUBLE : SINGLE, i32(0), floatBits(src), i32(0), i32(pops));
const compareInteger = (pops: number) => (m: Context, src: Operand) =>
  m.runtime("x87.compare", INTEGER, i32(0), readInteger(src), i32(0), i32(pops));
const compareRegister = (quiet: number, pops: number) => (m: Context, src?: Operand) =>
  m.runtime("x87.compare", REGISTER, sti(src), i64(0), i32(quiet), i32(pops));
/** FCOMI family: ZF PF CF, and OF SF AF are cleared. */
const compareFlags = (quiet: number, pops: number) => (m: Context, src: Operand) =>
  m.flags.set(m.runtimeFor("i32", "x87.compareFlags", src.number(), i32(quiet), i32(pops)));

const plain = (name: string) => (m: Context) => m.runtime(`x87.${name}`);

export const X87_ARITHMETIC = [
  ...operation("FADD", "add", 0, 0, 0),
  ...operation("FMUL", "multiply", 1, 1, 0),
  ...operation("FSUB", "add", 4, 5, NEGATE),
  ...operation("FSUBR", "add", 5, 4, NEGATE | REVERSE),
  ...operation("FDIV", "divide", 6, 7, 0),
  ...operation("FDIVR", "divide", 7, 6, REVERSE),
  ...x87("FSQRT", plain("squareRoot"), "D9 FA"),
  ...x87("FRNDINT", plain("roundToIntegral"), "D9 FC"),
  ...x87("FSCALE", plain("scale"), "D9 FD"),
  ...x87("FXTRACT", plain("extract"), "D9 F4"),
  ...x87("FPREM", plain("remainder"), "D9 F8"),
  ...x87("FPREM1", plain("remainderNearest"), "D9 F5"),
  // The encodings beyond D8 are aliases that processors take.
  ...x87("FCOM", compareFloat(0), "D8 /2 | m32\n DC /2 | m64"),
  ...x87("FCOM", compareRegister(0, 0), "D8 D0+i | sti\n DC D0+i | sti"),
  ...x87("FCOMP", compareFloat(1), "D8 /3 | m32\n DC /3 | m64"),
  ...x87("FCOMP", compareRegister(0, 1), "D8 D8+i | sti\n DC D8+i | sti\n DE D0+i | sti"),
  ...x87("FCOMPP", compareRegister(0, 2), "DE D9"),
  ...x87("FICOM", compareInteger(0), "DE /2 | m16\n DA /2 | m32"),
  ...x87("FICOMP", compareInteger(1), "DE /3 | m16\n DA /3 | m32"),
  ...x87("FUCOM", compareRegister(1, 0), "DD E0+i | sti"),
  ...x87("FUCOMP", compareRegister(1, 1), "DD E8+i | sti"),
  ...x87("FUCOMPP", compareRegister(1, 2), "DA E9"),
  ...x87("FTST", plain("test"), "D9 E4"),
  ...x87("FCOMI", compareFlags(0, 0), "DB F0+i | [st], sti | cmov"),
  ...x87("FCOMIP", compareFlags(0, 1), "DF F0+i | [st], sti | cmov"),
  ...x87("FUCOMI", compareFlags(1, 0), "DB E8+i | [st], sti | cmov"),
  ...x87("FUCOMIP", compareFlags(1, 1), "DF E8+i | [st], sti | cmov"),
  ...x87("F2XM1", plain("f2xm1"), "D9 F0"),
  ...x87("FYL2X", plain("fyl2x"), "D9 F1"),
  ...x87("FYL2XP1", plain("fyl2xp1"), "D9 F9"),
  ...x87("FPTAN", plain("fptan"), "D9 F2"),
  ...x87("FPATAN", plain("fpatan"), "D9 F3"),
  ...x87("FSIN", plain("fsin"), "D9 FE"),
  ...x87("FCOS", plain("fcos"), "D9 FF"),
  ...x87("FSINCOS", plain("fsincos"), "D9 FB"),
];

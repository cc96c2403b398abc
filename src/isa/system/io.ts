/** Port I/O (SDM vol. 1, chapter 19) and the flags that go with privilege: CLI, STI, PUSHF, POPF. */
import { i32, i64 } from "../../wasm/index.ts";
import type { AnyInt, Bits, Context, I32, I64, Operand } from "../context.ts";
import { unsigned64 } from "../integer/width.ts";
import { insn } from "../row.ts";
import { operation } from "./operation-names.ts";

const GP = 13;
const TF = 0x100;
const IF = 0x200;
const IOPL = 0x3000;
const RF = 0x1_0000;
const VM = 0x2_0000;
const AC = 0x4_0000;
/** Flags POPF may change at CPL 0 (SDM vol. 2, POPF): all defined ones but RF, VM, VIF, VIP. */
const POPF_FLAGS = 0x24_7fd5;
const CR0_PE = 1;

const eflags = (m: Context): I32 => m.get("eflags");
const iopl = (m: Context): I32 => eflags(m).shrU(12).and(3);
const virtual8086 = (m: Context): I32 => eflags(m).and(VM).nez();

/** With CPL above IOPL, or in virtual-8086 mode, the I/O permission bitmap decides. */
const permitted = (m: Context, port: I32, bytes: number) => {
  const protectedMode = m.get("cr0", "i64").wrap().and(CR0_PE).nez();
  const asks = m.get("cpl").gtU(iopl(m)).or(virtual8086(m));
  m.f.if(protectedMode.and(asks), () => {
    m.set("scratch0", port.extendU());
    m.set("scratch1", i64(bytes));
    m.runtimeMayFault("system", operation("io_permission"));
  });
};

const portOf = (m: Context, operand: Operand): I32 => m.f.let(operand.read().and(0xffff) as I32);
/** Ports have no 64-bit accesses: REX.W changes nothing. */
const ioBits = (bits: number): Bits => (bits === 64 ? 32 : bits) as Bits;

const input = (m: Context, dst: Operand, source: Operand) => {
  const bits = ioBits(dst.bits);
  const port = portOf(m, source);
  permitted(m, port, bits / 8);
  m.setReg(0, bits, m.runtimeFor("i32", "port_read", port, i32(bits / 8)));
  m.checkpoint();
};
const output = (m: Context, destination: Operand, src: Operand) => {
  const bits = ioBits(src.bits);
  const port = portOf(m, destination);
  permitted(m, port, bits / 8);
  m.runtime("port_write", port, i32(bits / 8), m.reg(0, bits) as I32);
  m.checkpoint();
};

/** INS and OUTS move one element; REP goes round again until rCX is zero. */
const string = (into: boolean, fixed?: 8) => (m: Context) => {
  const bits = fixed ?? ioBits(m.size);
  const bytes = bits / 8;
  const wide = m.addressSize;
  const count = m.f.let(m.reg(1, wide));
  const register = into ? 7 : 6;
  // Also where there is nothing to move.
  const port = m.f.let(m.reg(2, 16) as I32);
  permitted(m, port, bytes);
  const body = () => {
    const index = m.reg(register, wide);
    const offset: I64 = m.f.let(unsigned64(index));
    const linear = m.address(into ? 0 : m.dataSegment(), offset, bytes, into);
    if (into) {
      m.probeWrite(linear, bytes);
      m.store(bits, linear, m.runtimeFor("i32", "port_read", port, i32(bytes)));
    } else m.runtime("port_write", port, i32(bytes), m.load(bits, linear) as I32);
    const down = m.get("eflags").shrU(10).and(1);
    const step: I32 = m.f.let(i32(bytes).sub(down.mul(2 * bytes)));
    m.setReg(register, wide, m.f.let(index.add(wide === 64 ? (step.extendS() as AnyInt) : step)));
    if (m.rep !== "none") m.setReg(1, wide, count.sub(1));
  };
  if (m.rep === "none") {
    body();
    m.checkpoint();
    return;
  }
  const any = wide === 16 ? count.and(0xffff).nez() : count.ne(0);
  m.f.if(any, body);
  const more = wide === 16 ? count.and(0xffff).gtU(1) : count.gtU(1);
  m.againIf(m.f.let(more));
};

/** IF may change with CPL no greater than IOPL; in virtual-8086 mode IOPL must be 3. Not modelled: VME and PVI (CR4). */
const mayChangeIf = (m: Context) => {
  const bad = m
    .get("cpl")
    .gtU(iopl(m))
    .or(virtual8086(m).and(iopl(m).ne(3)));
  m.raiseIf(m.get("cr0", "i64").wrap().and(CR0_PE).nez().and(bad), GP, 0);
};

const cli = (m: Context) => {
  mayChangeIf(m);
  m.set("eflags", eflags(m).and(~IF));
};
/** After STI one more instruction runs before an interrupt. */
const sti = (m: Context) => {
  mayChangeIf(m);
  const before = m.f.let(eflags(m));
  m.set("eflags", before.or(IF));
  m.f.if(before.and(IF).eqz().and(m.get("pendingInterrupt")), () => {
    m.set("shadow", i32(1));
    m.set("attention", i32(1));
  });
  m.checkpoint();
};

const needIopl3 = (m: Context) => {
  m.raiseIf(virtual8086(m).and(iopl(m).ne(3)), GP, 0);
};

const pushf = (m: Context) => {
  needIopl3(m);
  const image = m.f.let(m.runtimeFor("i32", "get_eflags").and(~(VM | RF)));
  m.push(m.size, m.size === 64 ? image.extendU() : m.size === 16 ? m.f.let(image.and(0xffff)) : image);
};
const popf = (m: Context) => {
  needIopl3(m);
  const value = m.pop(m.size);
  const popped = m.f.let(m.size === 16 ? value.and(0xffff).wrap() : value.wrap());
  const cpl = m.get("cpl");
  const now = m.runtimeFor("i32", "get_eflags");
  // IOPL changes at CPL 0 only, IF with CPL no greater than IOPL; a 16-bit POPF leaves the upper half.
  const kept = m.f.let(
    m.f
      .choose<I32>(
        cpl,
        () => i32(IOPL),
        () => i32(0),
      )
      .or(
        m.f.let(
          m.f.choose<I32>(
            cpl.gtU(iopl(m)),
            () => i32(IF),
            () => i32(0),
          ),
        ),
      ),
  );
  const mask = m.f.let(i32(m.size === 16 ? POPF_FLAGS & 0xffff : POPF_FLAGS).and(kept.not()));
  // RF is cleared; VIF and VIP stay here (they are kept as they are).
  const image = m.f.let(now.and(mask.not()).and(~RF).or(popped.and(mask)));
  m.runtime("set_eflags", image);
  if (m.size !== 16) m.f.if(image.xor(now).and(AC), () => m.runtime("update_privilege"));
  m.f.if(image.and(TF).or(m.get("pendingInterrupt").and(image.shrU(9).and(1))), () => m.set("attention", i32(1)));
  m.checkpoint();
};

export const IO = [
  ...insn("IN", input, "E4 | w:al, imm8\n E5 | w:az, imm8\n EC | w:al, dx\n ED | w:az, dx"),
  ...insn("OUT", output, "E6 | imm8, al\n E7 | imm8, az\n EE | dx, al\n EF | dx, az"),
  ...insn("INSB", string(true, 8), "6C | [dst8], [dx] | asize rep"),
  ...insn("INS", string(true), "6D | [dstv], [dx] | asize rep size"),
  ...insn("OUTSB", string(false, 8), "6E | [dx], [src8] | asize rep"),
  ...insn("OUTS", string(false), "6F | [dx], [srcv] | asize rep size"),
  ...insn("CLI", cli, "FA"),
  ...insn("STI", sti, "FB"),
  ...insn("PUSHF", pushf, "9C | | d64 size mode"),
  ...insn("POPF", popf, "9D | | d64 size mode"),
];

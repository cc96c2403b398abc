/** System instructions but for segments and far transfers (SDM vol. 1, 5.20 to 5.21; vol. 2). */
import { i32, i64 } from "../../wasm/index.ts";
import type { Context, I32, I64, Operand } from "../context.ts";
import { unsigned64 } from "../integer/width.ts";
import { insn } from "../row.ts";
import { type OperationName, operation } from "./operation-names.ts";

const GP = 13;
const UD = 6;
const CR0_PE = 1;
const CR4_TSD = 4;
const CR4_UMIP = 0x800;
const CR4_FSGSBASE = 0x1_0000;
const CR4_SMAP = 0x20_0000;
const AC = 0x4_0000;

const cr = (m: Context, name: "cr0" | "cr4"): I32 => m.get(name, "i64").wrap();

const system = (m: Context, name: OperationName, ...operands: I64[]): I64 => {
  operands.forEach((value, i) => {
    m.set(`scratch${i}`, value);
  });
  m.runtimeMayFault("system", operation(name));
  return m.get("scratch0", "i64");
};

const umip = (m: Context) => {
  m.raiseIf(cr(m, "cr4").and(CR4_UMIP).nez().and(m.get("cpl").nez()), GP, 0);
};

const cpuid = (m: Context) => {
  system(m, "cpuid");
};

/** RDTSC and RDTSCP are privileged where CR4.TSD is set. */
const readTsc = (m: Context) => {
  m.raiseIf(cr(m, "cr4").and(CR4_TSD).nez().and(m.get("cpl").nez()), GP, 0);
  const tsc = m.runtimeFor("i64", "tsc");
  m.setReg(0, 32, tsc.wrap());
  m.setReg(2, 32, tsc.shrU(32).wrap());
};
const rdtscp = (m: Context) => {
  readTsc(m);
  m.setReg(1, 32, m.get("tscAux", "i64").wrap());
};

const rdmsr = (m: Context) => {
  const value = system(m, "rdmsr");
  m.setReg(0, 32, value.wrap());
  m.setReg(2, 32, value.shrU(32).wrap());
};
const wrmsr = (m: Context) => {
  const low = m.reg(0, 32).extendU();
  system(m, "wrmsr", m.f.let(low.or(m.reg(2, 32).extendU().shl(32))));
  m.leave();
};

/** Goes on behind this instruction, by looking up what is there. */
const goOn = (m: Context) => {
  m.set("rip", m.nextRip());
  m.resume();
};

const readControl = (m: Context, dst: Operand, control: Operand) => {
  const number = control.number();
  const put = (value: I64) => dst.write(dst.bits === 64 ? value : value.wrap());
  // Page-fault handlers read CR2, and those that walk page tables CR3: they do not go the long way.
  m.f.if(
    number.eq(2),
    () => put(m.get("cr2", "i64")),
    () => {
      m.f.if(
        number.eq(3),
        () => put(m.get("cr3", "i64")),
        () => put(system(m, "read_control", number.extendU())),
      );
    },
  );
};
const writeControl = (m: Context, control: Operand, src: Operand) => {
  const number = m.f.let(control.number());
  const value = m.f.let(unsigned64(src.read()));
  // A switch of address spaces changes nothing that the run loop looks at.
  const isDone = m.f.choose(
    number.eq(3),
    () => m.runtimeFor("i32", "load_cr3", value),
    () => i32(0),
  );
  m.f.if(isDone, () => goOn(m));
  system(m, "write_control", number.extendU(), value);
  m.leave();
};
const readDebug = (m: Context, dst: Operand, register: Operand) => {
  const value = system(m, "read_debug", register.number().extendU());
  dst.write(dst.bits === 64 ? value : value.wrap());
};
const writeDebug = (m: Context, register: Operand, src: Operand) => {
  system(m, "write_debug", register.number().extendU(), m.f.let(unsigned64(src.read())));
  m.leave();
};

const lmsw = (m: Context, src: Operand) => {
  system(m, "lmsw", src.read().extendU());
  m.leave();
};
const smsw = (m: Context, dst: Operand) => {
  umip(m);
  const value = m.get("cr0", "i64");
  dst.write(dst.bits === 64 ? value : value.wrap());
};
const clts = (m: Context) => {
  system(m, "write_control", i64(0), m.f.let(m.get("cr0", "i64").and(~8)));
  m.leave();
};

/** LGDT and LIDT: a 16-bit limit, then a base of 24 bits (16-bit operand size), 32 or 64 bits. */
const loadTable = (table: "gdtr" | "idtr") => (m: Context, src: Operand) => {
  const limit = m.load(16, src.linear());
  let base: I64;
  if (m.mode64) {
    base = m.load(64, src.linear(2)) as I64;
    system(m, "check_base", base);
  } else
    base = m.f.let(
      m
        .load(32, src.linear(2))
        .and(m.size === 16 ? 0xff_ffff : -1)
        .extendU(),
    );
  m.set(`${table}.limit`, limit as I32);
  m.set(`${table}.base`, base);
};
const storeTable = (table: "gdtr" | "idtr") => (m: Context, dst: Operand) => {
  umip(m);
  const base = m.get(`${table}.base`, "i64");
  m.probeWrite(dst.linear(), m.mode64 ? 10 : 6);
  m.store(16, dst.linear(), m.get(`${table}.limit`));
  if (m.mode64) m.store(64, dst.linear(2), base);
  else m.store(32, dst.linear(2), base.wrap());
};

/** INVLPG and INVPCID serialize (SDM vol. 3A, 8.3): what runs next is fetched by the new translation. */
const invlpg = (m: Context, operand: Operand) => {
  m.runtime("invlpg", operand.linear());
  goOn(m);
};
const invpcid = (m: Context, type: Operand, source: Operand) => {
  const pcid = m.load(64, source.linear()) as I64;
  const address = m.load(64, source.linear(8)) as I64;
  system(m, "invpcid", m.f.let(unsigned64(type.read())), pcid, address);
  m.leave();
};
const nothing = () => undefined;

const swapgs = (m: Context) => {
  m.raiseIf(m.get("cpl"), GP, 0);
  const base = m.get("gs.base", "i64");
  m.set("gs.base", m.get("kernelGsBase", "i64"));
  m.set("kernelGsBase", base);
};

const base = (segment: "fs" | "gs", write: boolean) => (m: Context, operand: Operand) => {
  m.raiseIf(cr(m, "cr4").and(CR4_FSGSBASE).eqz(), UD);
  if (write) {
    const value = m.f.let(unsigned64(operand.read()));
    m.raiseIf(m.runtimeFor("i32", "is_canonical", value).eqz(), GP, 0);
    m.set(`${segment}.base`, value);
  } else {
    const value = m.get(`${segment}.base`, "i64");
    operand.write(operand.bits === 64 ? value : value.wrap());
  }
};

const syscall = (m: Context) => {
  const efer = m.get("efer", "i64").wrap();
  // Intel: 64-bit mode only.
  m.raiseIf(efer.and(1).eqz(), UD);
  m.runtime("syscall", m.nextRip());
  m.resume();
};
const sysret = (m: Context) => {
  m.raiseIf(m.get("efer", "i64").wrap().and(1).eqz(), UD);
  m.raiseIf(m.get("cpl"), GP, 0);
  if (m.size === 64) m.raiseIf(m.runtimeFor("i32", "is_canonical", m.get("rcx", "i64")).eqz(), GP, 0);
  m.runtime("sysret", i32(m.size === 64 ? 1 : 0));
  m.resume();
};
const sysenter = (m: Context) => {
  m.raiseIf(cr(m, "cr0").and(CR0_PE).eqz(), GP, 0);
  system(m, "sysenter");
  m.resume();
};
const sysexit = (m: Context) => {
  m.raiseIf(cr(m, "cr0").and(CR0_PE).eqz().or(m.get("cpl")), GP, 0);
  system(m, "sysexit", i64(m.size === 64 ? 1 : 0));
  m.resume();
};

const hlt = (m: Context) => {
  m.set("activity", i32(1));
  m.leave();
};

/** CLAC and STAC move EFLAGS.AC, which opens user pages to a supervisor under SMAP. */
const ac = (set: boolean) => (m: Context) => {
  m.raiseIf(m.get("cpl"), UD);
  const flags = m.get("eflags");
  m.set("eflags", set ? flags.or(AC) : flags.and(~AC));
  m.f.if(cr(m, "cr4").and(CR4_SMAP), () => m.runtime("update_privilege"));
};

const rdpmc = (m: Context) => {
  system(m, "rdpmc");
};
/** VMCALL and VMMCALL reach KVM's paravirtual interface, whichever a guest picks (facts: new kernels use them bare). */
const hypercall = (m: Context) => {
  system(m, "hypercall");
};

export const PRIVILEGED = [
  ...insn("CPUID", cpuid, "0F A2"),
  ...insn("RDTSC", readTsc, "0F 31"),
  ...insn("RDTSCP", rdtscp, "0F 01 F9 | | rdtscp"),
  ...insn("RDMSR", rdmsr, "0F 32 | | cpl0"),
  ...insn("WRMSR", wrmsr, "0F 30 | | cpl0"),
  ...insn("RDPMC", rdpmc, "0F 33"),
  ...insn("MOV", readControl, "0F 20 /r | w:r64rm, creg | cpl0 o64\n 0F 20 /r | w:r32rm, creg | cpl0 i64"),
  ...insn("MOV", writeControl, "0F 22 /r | creg, r64rm | cpl0 o64\n 0F 22 /r | creg, r32rm | cpl0 i64"),
  ...insn("MOV", readDebug, "0F 21 /r | w:r64rm, dreg | cpl0 o64\n 0F 21 /r | w:r32rm, dreg | cpl0 i64"),
  ...insn("MOV", writeDebug, "0F 23 /r | dreg, r64rm | cpl0 o64\n 0F 23 /r | dreg, r32rm | cpl0 i64"),
  ...insn("LMSW", lmsw, "0F 01 /6 | rm16 | cpl0"),
  ...insn("SMSW", smsw, "0F 01 /4 | w:m16\n 0F 01 /4 | w:rvrm"),
  ...insn("CLTS", clts, "0F 06 | | cpl0"),
  ...insn("LGDT", loadTable("gdtr"), "0F 01 /2 | m | cpl0 size mode"),
  ...insn("LIDT", loadTable("idtr"), "0F 01 /3 | m | cpl0 size mode"),
  ...insn("SGDT", storeTable("gdtr"), "0F 01 /0 | w:m | mode"),
  ...insn("SIDT", storeTable("idtr"), "0F 01 /1 | w:m | mode"),
  ...insn("INVLPG", invlpg, "0F 01 /7 | m | cpl0"),
  ...insn(
    "INVPCID",
    invpcid,
    "66 0F 38 82 /r | r64, m | cpl0 invpcid o64\n 66 0F 38 82 /r | r32, m | cpl0 invpcid i64",
  ),
  ...insn("INVD", nothing, "0F 08 | | cpl0"),
  ...insn("WBINVD", nothing, "0F 09 | | cpl0"),
  ...insn("SWAPGS", swapgs, "0F 01 F8 | | o64"),
  ...insn("RDFSBASE", base("fs", false), "F3 0F AE /0 | w:ryrm | o64 fsgsbase"),
  ...insn("RDGSBASE", base("gs", false), "F3 0F AE /1 | w:ryrm | o64 fsgsbase"),
  ...insn("WRFSBASE", base("fs", true), "F3 0F AE /2 | ryrm | o64 fsgsbase"),
  ...insn("WRGSBASE", base("gs", true), "F3 0F AE /3 | ryrm | o64 fsgsbase"),
  ...insn("SYSCALL", syscall, "0F 05 | | o64 mode end"),
  ...insn("SYSRET", sysret, "0F 07 | | o64 mode end size"),
  ...insn("SYSENTER", sysenter, "0F 34 | | end"),
  ...insn("SYSEXIT", sysexit, "0F 35 | | end size"),
  ...insn("HLT", hlt, "F4 | | cpl0"),
  ...insn("CLAC", ac(false), "NP 0F 01 CA | | smap"),
  ...insn("STAC", ac(true), "NP 0F 01 CB | | smap"),
  ...insn("VMCALL", hypercall, "NP 0F 01 C1"),
  ...insn("VMMCALL", hypercall, "NFx 0F 01 D9"),
];

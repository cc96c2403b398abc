/**
 * Arithmetic flags, kept as what they follow from (SDM vol. 1, 3.4.3.1): the result gives ZF, SF and PF; the carries out
 * of its two top bits give CF and OF; bit 3 of the carries is AF. Two bits flip SF and PF for the few instructions
 * that set them against the result. Flag values are computed without a branch, and nothing remembers which
 * instruction set them.
 */
import type { AnyInt, Bits, ConditionCode, Flags } from "../isa/context.ts";
import { type ExprOf, type F64, type FunctionBuilder, type I32, type I64, i32, type ValType } from "../wasm/index.ts";

/** Where the three values are kept: state fields in the interpreter, locals in a region. */
export interface FlagStore {
  read<T extends "i32" | "i64">(name: "flagResult" | "flagCarry" | "flagMisc", type: T): ExprOf<T>;
  write(name: "flagResult" | "flagCarry" | "flagMisc", value: ExprOf<ValType>): void;
}

const CF_IMAGE = 0;
const PF_IMAGE = 2;
const AF_IMAGE = 4;
const ZF_IMAGE = 6;
const SF_IMAGE = 7;
const OF_IMAGE = 11;

/** What flags were last set by, where a condition can be had from its operands. */
type Producer =
  | { readonly kind: "sub"; readonly bits: Bits; readonly a: AnyInt; readonly b: AnyInt }
  | { readonly kind: "logic"; readonly result: I64 };

export class LazyFlags implements Flags {
  readonly #f: FunctionBuilder;
  readonly #store: FlagStore;
  #remembers = false;
  #producer: Producer | undefined;
  readonly #written = new Map<string, I32 | I64>();

  constructor(f: FunctionBuilder, store: FlagStore) {
    this.#f = f;
    this.#store = store;
  }

  /**
   * From now on values written are kept at hand, and a condition follows from the operands of the last comparison. Only for code
   * without a branch between setting flags and reading them.
   */
  remember(): void {
    this.#remembers = true;
  }

  add(bits: Bits, a: AnyInt, b: AnyInt): AnyInt {
    return this.#sum(bits, a, b, this.#f.let(truncate(bits, a.add(b))));
  }
  /** `cf`: the carry, where it is at hand. */
  adc(bits: Bits, a: AnyInt, b: AnyInt, cf: I32 = this.cf()): AnyInt {
    const carry: AnyInt = bits === 64 ? cf.extendU() : cf;
    return this.#sum(bits, a, b, this.#f.let(truncate(bits, a.add(b).add(carry))));
  }
  sub(bits: Bits, a: AnyInt, b: AnyInt): AnyInt {
    const r = this.#difference(bits, a, b, this.#f.let(truncate(bits, a.sub(b))));
    if (this.#remembers) this.#producer = { kind: "sub", bits, a, b };
    return r;
  }
  sbb(bits: Bits, a: AnyInt, b: AnyInt, cf: I32 = this.cf()): AnyInt {
    const borrow: AnyInt = bits === 64 ? cf.extendU() : cf;
    return this.#difference(bits, a, b, this.#f.let(truncate(bits, a.sub(b).sub(borrow))));
  }
  logic(bits: Bits, result: AnyInt): AnyInt {
    const r = this.#f.let(truncate(bits, result));
    this.#setResult(bits, r);
    this.#setCarry(i32(0));
    this.#setMisc(i32(0));
    if (this.#remembers) this.#producer = { kind: "logic", result: this.#result() };
    return r;
  }
  inc(bits: Bits, a: AnyInt): AnyInt {
    const r = this.#f.let(truncate(bits, a.add(1)));
    this.#step(bits, r, a.and(r.not()));
    return r;
  }
  dec(bits: Bits, a: AnyInt): AnyInt {
    const r = this.#f.let(truncate(bits, a.sub(1)));
    this.#step(bits, r, a.not().and(r));
    return r;
  }
  result(bits: Bits, result: AnyInt, cf: I32, of: I32, af: I32 = i32(0)): void {
    this.#setResult(bits, result);
    this.setCfOf(cf, of);
    this.#setMisc(af.shl(3));
  }
  setCf(cf: I32): void {
    this.setCfOf(cf, this.of());
  }
  setCfOf(cf: I32, of: I32): void {
    const c = this.#f.let(cf);
    this.#setCarry(c.shl(31).or(c.xor(of).and(1).shl(30)));
  }
  setZf(zf: I32): void {
    this.#setDirect(this.#f.let(zf), this.sf(), this.pf(), this.af());
  }
  compare(x: F64, y: F64): void {
    const unordered = x.compare("ne", x).or(y.compare("ne", y));
    const below = x.compare("ge", y).eqz();
    const equal = x.compare("lt", y).or(x.compare("gt", y)).eqz();
    this.set(this.#f.let(below.or(unordered.shl(PF_IMAGE)).or(equal.shl(ZF_IMAGE))));
  }
  set(image: I32): void {
    const bit = (n: number) => image.shrU(n).and(1);
    this.setCfOf(bit(CF_IMAGE), bit(OF_IMAGE));
    this.#setDirect(this.#f.let(bit(ZF_IMAGE)), bit(SF_IMAGE), bit(PF_IMAGE), bit(AF_IMAGE));
  }
  get(): I32 {
    const image = this.cf()
      .or(this.pf().shl(PF_IMAGE))
      .or(this.af().shl(AF_IMAGE))
      .or(this.zf().shl(ZF_IMAGE))
      .or(this.sf().shl(SF_IMAGE))
      .or(this.of().shl(OF_IMAGE));
    return this.#f.let(image);
  }
  cf(): I32 {
    return this.#f.let(this.#carry().shrU(31));
  }
  of(): I32 {
    const c = this.#carry();
    return this.#f.let(c.xor(c.shl(1)).shrU(31));
  }
  zf(): I32 {
    return this.#f.let(this.#result().eqz());
  }
  sf(): I32 {
    return this.#f.let(this.#result().shrU(63).wrap().xor(this.#misc().and(1)));
  }
  pf(): I32 {
    const parity = this.#result().wrap().and(0xff).popcnt().not();
    return this.#f.let(parity.xor(this.#misc().shrU(1)).and(1));
  }
  af(): I32 {
    return this.#f.let(this.#misc().shrU(3).and(1));
  }
  condition(code: ConditionCode): I32 {
    const direct = this.#producer && directCondition(this.#producer, code);
    if (direct) return this.#f.let(direct);
    const positive = this.#positive(code >> 1);
    return code & 1 ? positive.eqz() : positive;
  }

  #positive(pair: number): I32 {
    switch (pair) {
      case 0:
        return this.of();
      case 1:
        return this.cf();
      case 2:
        return this.zf();
      case 3:
        return this.#f.let(this.cf().or(this.zf()));
      case 4:
        return this.sf();
      case 5:
        return this.pf();
      case 6:
        return this.#f.let(this.sf().xor(this.of()));
      default:
        return this.#f.let(this.zf().or(this.sf().xor(this.of())));
    }
  }

  #sum(bits: Bits, a: AnyInt, b: AnyInt, r: AnyInt): AnyInt {
    this.#carries(bits, this.#f.let(a.and(b).or(a.or(b).and(r.not()))));
    this.#setResult(bits, r);
    return r;
  }
  #difference(bits: Bits, a: AnyInt, b: AnyInt, r: AnyInt): AnyInt {
    this.#carries(bits, this.#f.let(a.not().and(b).or(a.xor(b).not().and(r))));
    this.#setResult(bits, r);
    return r;
  }
  /** INC and DEC: carries give OF and AF, CF stays. */
  #step(bits: Bits, r: AnyInt, carries: AnyInt): void {
    const c = this.#f.let(align(bits, this.#f.let(carries)));
    const old = this.#carry();
    const of = c.xor(c.shl(1));
    this.#setCarry(old.and(0x8000_0000 | 0).or(old.xor(of).shrU(1).and(0x4000_0000)));
    this.#setMisc(carries.wrap().and(8));
    this.#setResult(bits, r);
  }
  #carries(bits: Bits, carries: AnyInt): void {
    this.#setCarry(align(bits, carries));
    this.#setMisc(carries.wrap().and(8));
  }
  /** ZF, SF, PF and AF that follow from no result. */
  #setDirect(zf: I32, sf: I32, pf: I32, af: I32): void {
    // Result 0 (ZF 1, SF 0, PF 1) or 1 (ZF 0, SF 0, PF 0); what differs is flipped.
    this.#setMisc(sf.or(pf.xor(zf).shl(1)).or(af.shl(3)));
    this.#store.write("flagResult", zf.xor(1).extendU());
  }
  #setResult(bits: Bits, r: AnyInt): void {
    let value: I64;
    if (bits === 64) value = r as I64;
    else if (bits === 32) value = (r as I32).extendS();
    else value = (bits === 8 ? r.extend8S() : r.extend16S()).extendS();
    this.#write("flagResult", value);
  }
  #setCarry(value: I32): void {
    this.#write("flagCarry", value);
  }
  #setMisc(value: I32): void {
    this.#write("flagMisc", value);
  }
  #write(name: "flagResult" | "flagCarry" | "flagMisc", value: I32 | I64): void {
    this.#producer = undefined;
    if (!this.#remembers) {
      this.#store.write(name, value);
      return;
    }
    const kept = this.#f.let(value);
    this.#written.set(name, kept);
    this.#store.write(name, kept);
  }
  #result(): I64 {
    return (this.#written.get("flagResult") as I64 | undefined) ?? this.#store.read("flagResult", "i64");
  }
  #carry(): I32 {
    return (this.#written.get("flagCarry") as I32 | undefined) ?? this.#store.read("flagCarry", "i32");
  }
  #misc(): I32 {
    return (this.#written.get("flagMisc") as I32 | undefined) ?? this.#store.read("flagMisc", "i32");
  }
}

/** The condition as one comparison; undefined where it needs the flags themselves. */
function directCondition(p: Producer, code: ConditionCode): I32 | undefined {
  if (p.kind === "logic") {
    const compare = [undefined, undefined, i32(0), i32(1), "eq", "ne", "eq", "ne", "ltS", "geS"][code];
    if (code >= 12) return [p.result.ltS(0), p.result.geS(0), p.result.leS(0), p.result.gtS(0)][code - 12];
    return typeof compare === "string" ? p.result[compare as "eq" | "ne" | "ltS" | "geS"](0) : compare;
  }
  const signed = (v: AnyInt): AnyInt => (p.bits === 8 ? v.extend8S() : p.bits === 16 ? v.extend16S() : v);
  switch (code) {
    case 2:
      return p.a.ltU(p.b);
    case 3:
      return p.a.geU(p.b);
    case 4:
      return p.a.eq(p.b);
    case 5:
      return p.a.ne(p.b);
    case 6:
      return p.a.leU(p.b);
    case 7:
      return p.a.gtU(p.b);
    case 12:
      return signed(p.a).ltS(signed(p.b));
    case 13:
      return signed(p.a).geS(signed(p.b));
    case 14:
      return signed(p.a).leS(signed(p.b));
    case 15:
      return signed(p.a).gtS(signed(p.b));
    default:
      return undefined;
  }
}

function truncate(bits: Bits, value: AnyInt): AnyInt {
  return bits === 8 ? value.and(0xff) : bits === 16 ? value.and(0xffff) : value;
}

/** Brings the carry out of the top bit to bit 31. */
function align(bits: Bits, carries: AnyInt): I32 {
  if (bits === 64) return carries.shrU(32).wrap();
  return (bits === 32 ? carries : carries.shl(32 - bits)) as I32;
}

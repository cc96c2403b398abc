/**
 * The local APIC of one vCPU, SDM vol. 3A chapter 11: xAPIC page and x2APIC MSRs over one set of registers,
 * acceptance and priority of interrupts. The local vector table is in local-vectors.ts, the timer in apic-timer.ts.
 * Not modelled: SMI, CMCI, EOI-broadcast suppression, error conditions of the old APIC serial bus, focus processor.
 * Delivery is immediate, so delivery status always reads idle.
 */
import type { Ns } from "../../base/index.ts";
import type { AccessSize, IoDevice } from "../bus.ts";
import type { Clock } from "../ports.ts";
import type { Section } from "../state.ts";
import type { Timers } from "../timers.ts";
import {
  APIC,
  APIC_BASE,
  APIC_REGISTER_COUNT,
  APIC_ROWS,
  type ApicRegister,
  apicResetValues,
  ESR,
  LVT_FIRST,
  LVT_LAST,
  LVT_MASKED,
  SVR_ENABLE,
  TIMER_MODE_SHIFT,
  X2APIC_MSR_BASE,
} from "./apic-registers.ts";
import { ApicTimer, apicTimerReset } from "./apic-timer.ts";
import { ipiOf, matchesLogical, matchesX2apic } from "./ipi.ts";
import { type LocalApicState, localApicPowerUp, NONE } from "./local-apic-state.ts";
import { LocalVectors } from "./local-vectors.ts";
import {
  BROADCAST,
  DELIVERY,
  destination8,
  type ExtIntSource,
  type InterruptMessage,
  type InterruptTarget,
  SHORTHAND,
} from "./messages.ts";
import { clearVector, hasVector, highestVector, setVector } from "./vector-map.ts";

/** Vectors 0 to 15 are reserved: SDM 11.5.2. */
const FIRST_LEGAL_VECTOR = 16;

/** What a local APIC is connected to. */
export interface LocalApicPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  /** The 8259 pair behind ExtINT. */
  readonly pic: ExtIntSource;
  /** Sends an IPI: InterruptRouter.ipi. */
  ipi(sender: InterruptTarget, shorthand: number, message: InterruptMessage): void;
  /** EOI of a level-triggered interrupt: InterruptRouter.endOfInterrupt. */
  endOfInterrupt(vector: number): void;
  /** Something the vCPU should look at became pending: an interrupt it would take, NMI, INIT or SIPI. */
  onPending(): void;
}

export class LocalApic implements IoDevice, InterruptTarget, Section<LocalApicState> {
  readonly name = "local APIC";
  readonly section: { readonly name: string; readonly version: number };
  /** The x2APIC ID; its low 8 bits are the initial xAPIC ID. */
  readonly initialId: number;
  readonly #bootstrap: boolean;
  readonly #ports: LocalApicPorts;
  readonly #timer: ApicTimer;
  readonly #vectors: LocalVectors;
  readonly #baseReservedHigh: number;
  #state: LocalApicState;
  /** The vector `onPending` was last called for. */
  #announced = NONE;

  constructor(id: number, options: { bootstrap: boolean; physicalAddressBits: number }, ports: LocalApicPorts) {
    this.initialId = id;
    this.section = { name: `local-apic.${id}`, version: 1 };
    this.#bootstrap = options.bootstrap;
    this.#baseReservedHigh = ~(2 ** (options.physicalAddressBits - 32) - 1);
    this.#ports = ports;
    this.#state = localApicPowerUp(this.initialId, this.#bootstrap);
    this.#vectors = new LocalVectors(() => this.#state, {
      accept: (mode, vector) => void this.accept(mode, vector, false),
      acceptFixed: (vector, level) => this.#acceptFixed(vector, level),
      changed: () => this.#changed(),
    });
    this.#timer = new ApicTimer(this.#state.timer, ports.clock, ports.timers, () =>
      this.#vectors.signal(APIC.lvtTimer.index),
    );
  }

  get state(): LocalApicState {
    return this.#state;
  }

  restore(state: LocalApicState): void {
    this.#state = state;
    this.#announced = NONE;
    this.#timer.adopt(state.timer);
    this.#changed();
  }

  /** Power-up or RESET. */
  reset(): void {
    this.restore(localApicPowerUp(this.initialId, this.#bootstrap));
  }

  /**
   * What firmware leaves behind on the bootstrap processor: virtual wire mode (MultiProcessor Specification 1.4,
   * 3.6.2.2), in which 8259 interrupts pass through LINT0 and NMI comes in at LINT1.
   */
  enterVirtualWire(): void {
    const r = this.#state.registers;
    r[APIC.svr.index] = SVR_ENABLE | 0xff;
    r[APIC.lvtLint0.index] = DELIVERY.extInt << 8;
    r[APIC.lvtLint1.index] = DELIVERY.nmi << 8;
    this.#changed();
  }

  // What the vCPU asks.

  /** The vector the vCPU would take now if it had interrupts enabled, or -1. ExtINT goes first: it has no priority class. */
  pending(): number {
    const external = this.#extIntPending() ? this.#ports.pic.pending() : NONE;
    return external >= 0 ? external : this.#deliverable();
  }

  /** Takes the pending interrupt. With none left (TPR was raised meanwhile) it is the spurious one, SDM 11.9. */
  acknowledge(): number {
    const s = this.#state;
    let vector: number;
    if (this.#extIntPending() && this.#ports.pic.pending() >= 0) {
      s.extInt = false;
      vector = this.#ports.pic.acknowledge();
    } else {
      vector = this.#deliverable();
      if (vector < 0)
        return this.#hardwareEnabled ? s.registers[APIC.svr.index]! & 0xff : this.#ports.pic.acknowledge();
      clearVector(s.registers, APIC.irr.index, vector);
      setVector(s.registers, APIC.isr.index, vector);
    }
    this.#announced = NONE;
    this.#changed();
    return vector;
  }

  takeNmi(): boolean {
    const taken = this.#state.nmi;
    this.#state.nmi = false;
    return taken;
  }

  /** True once for each INIT: the APIC is in its INIT state then, the vCPU has to reset itself likewise. */
  takeInit(): boolean {
    const taken = this.#state.init;
    this.#state.init = false;
    return taken;
  }

  /** The vector of a SIPI (start address / 4 KiB), once; else -1. */
  takeStartUp(): number {
    const vector = this.#state.startUp;
    if (vector >= 0) {
      this.#state.startUp = NONE;
      this.#state.waitsForStartUp = false;
    }
    return vector;
  }

  /** The vCPU is to stay idle until `takeStartUp` gives a vector. */
  get waitsForStartUp(): boolean {
    return this.#state.waitsForStartUp;
  }

  get cr8(): number {
    return this.#state.registers[APIC.tpr.index]! >> 4;
  }

  set cr8(value: number) {
    this.#state.registers[APIC.tpr.index] = (value & 0xf) << 4;
    this.#changed();
  }

  /** IA32_TSC_DEADLINE as a time on the machine's clock. 0: disarmed. */
  get tscDeadline(): Ns {
    return this.#timer.deadline;
  }

  setTscDeadline(deadline: Ns | 0): void {
    this.#timer.setDeadline(deadline);
  }

  // IA32_APIC_BASE.

  get apicBaseLow(): number {
    return this.#state.baseLow >>> 0;
  }

  get apicBaseHigh(): number {
    return this.#state.baseHigh >>> 0;
  }

  /** Where the page is in guest physical memory; -1 while there is none (disabled, x2APIC). */
  get address(): number {
    const { baseLow, baseHigh } = this.#state;
    return this.#xapicMode ? (baseHigh >>> 0) * 2 ** 32 + ((baseLow & APIC_BASE.pageMask) >>> 0) : -1;
  }

  /** False is #GP: reserved bits or a transition SDM 11.12.5 forbids. */
  writeApicBase(low: number, high: number): boolean {
    const s = this.#state;
    const { bsp, x2apic, enable, pageMask } = APIC_BASE;
    if ((low & ~(bsp | x2apic | enable | pageMask)) !== 0 || (high & this.#baseReservedHigh) !== 0) return false;
    const was = s.baseLow & (enable | x2apic);
    const now = low & (enable | x2apic);
    if (now === x2apic) return false;
    if (now === (enable | x2apic) && was === 0) return false;
    if (now === enable && was === (enable | x2apic)) return false;
    s.baseLow = low;
    s.baseHigh = high;
    if (now === 0 && was !== 0) this.#resetRegisters(this.initialId);
    if ((now & ~was & x2apic) !== 0) s.registers[APIC.icrHigh.index] = 0;
    this.#changed();
    return true;
  }

  // xAPIC: the memory-mapped page.

  read(offset: number, size: AccessSize): number {
    if (!this.#xapicMode) return size === 4 ? 0xffffffff : 2 ** (8 * size) - 1;
    const within = offset & 0xf;
    if (within + size > 4) return 0;
    const row = this.#xapicRow(offset >> 4);
    if (row === undefined || row.xapic === "wo") return 0;
    const value = this.#get(offset >> 4) >>> (within * 8);
    return size === 4 ? value : value & (2 ** (8 * size) - 1);
  }

  /** Registers take aligned 32-bit writes only, SDM 11.4.1; others are dropped. */
  write(offset: number, size: AccessSize, value: number): void {
    if (!this.#xapicMode || size !== 4 || (offset & 0xf) !== 0) return;
    const row = this.#xapicRow(offset >> 4);
    if (row !== undefined && row.xapic !== "ro") this.#set(row.index, value & row.bits);
  }

  // x2APIC: MSRs 0x800 to 0x8ff.

  /** The low half of an MSR, or -1 for #GP. */
  readMsr(msr: number): number {
    const row = this.#x2apicRow(msr);
    return row === undefined || row.x2apic === "wo" ? -1 : this.#get(msr - X2APIC_MSR_BASE) >>> 0;
  }

  /** The high half, which only the ICR has. Ask `readMsr` first. */
  readMsrHigh(msr: number): number {
    return msr - X2APIC_MSR_BASE === APIC.icrLow.index ? this.#state.registers[APIC.icrHigh.index]! >>> 0 : 0;
  }

  /** False is #GP: no such register, read-only, or reserved bits set. */
  writeMsr(msr: number, low: number, high: number): boolean {
    const row = this.#x2apicRow(msr);
    if (row === undefined || row.x2apic === "ro") return false;
    if ((low & ~(row.bits | (row.ignored ?? 0))) !== 0) return false;
    if (row.index === APIC.icrLow.index) this.#state.registers[APIC.icrHigh.index] = high;
    else if (high !== 0) return false;
    this.#set(row.index, low & row.bits);
    return true;
  }

  // What comes in from the router.

  get enabled(): boolean {
    return this.#hardwareEnabled && (this.#state.registers[APIC.svr.index]! & SVR_ENABLE) !== 0;
  }

  /** PPR, SDM 11.8.3.1. */
  get priority(): number {
    const tpr = this.#state.registers[APIC.tpr.index]!;
    const inService = highestVector(this.#state.registers, APIC.isr.index);
    return inService < 0 || tpr >> 4 >= inService >> 4 ? tpr : inService & 0xf0;
  }

  matches(destination: number, logical: boolean): boolean {
    if (!this.#hardwareEnabled) return false;
    if (destination >>> 0 === BROADCAST) return true;
    if (!logical) return destination >>> 0 === this.#id;
    const ldr = this.#get(APIC.ldr.index);
    return this.#x2apicMode
      ? matchesX2apic(destination, ldr)
      : matchesLogical(destination, ldr >>> 24, this.#state.registers[APIC.dfr.index]! >>> 28);
  }

  accept(mode: number, vector: number, level: boolean): boolean {
    const s = this.#state;
    if (!this.#hardwareEnabled) return false;
    switch (mode) {
      case DELIVERY.fixed:
      case DELIVERY.lowestPriority:
        return this.#acceptFixed(vector, level);
      case DELIVERY.nmi:
        s.nmi = true;
        break;
      case DELIVERY.init:
        this.#resetRegisters(this.#id);
        s.init = true;
        s.nmi = false;
        s.startUp = NONE;
        s.waitsForStartUp = (s.baseLow & APIC_BASE.bsp) === 0;
        break;
      case DELIVERY.startUp:
        if (!s.waitsForStartUp || s.startUp >= 0) return true;
        s.startUp = vector;
        break;
      case DELIVERY.extInt:
        s.extInt = true;
        this.#announced = NONE;
        this.#changed();
        return true;
      default:
        return false;
    }
    this.#ports.onPending();
    return true;
  }

  lint(pin: 0 | 1, high: boolean): void {
    const s = this.#state;
    if (s.lint[pin] === high) return;
    s.lint[pin] = high;
    if (!high) this.#announced = NONE;
    else if (this.#hardwareEnabled) this.#vectors.pinActive(pin, true);
    else this.#bypassed(pin);
  }

  // Inside.

  get #hardwareEnabled(): boolean {
    return (this.#state.baseLow & APIC_BASE.enable) !== 0;
  }

  get #x2apicMode(): boolean {
    return (this.#state.baseLow & APIC_BASE.x2apic) !== 0;
  }

  get #xapicMode(): boolean {
    return this.#hardwareEnabled && !this.#x2apicMode;
  }

  get #id(): number {
    return this.#x2apicMode ? this.initialId : this.#state.registers[APIC.id.index]! >>> 24;
  }

  /** The state INIT leaves (SDM 11.4.7.3): as after power-up but for the ID; IA32_APIC_BASE stays, and so do the wires. */
  #resetRegisters(id: number): void {
    const s = this.#state;
    s.registers = apicResetValues();
    s.registers[APIC.id.index] = id << 24;
    s.errors = 0;
    s.extInt = false;
    s.timer = apicTimerReset();
    this.#timer.adopt(s.timer);
    this.#announced = NONE;
  }

  #xapicRow(index: number): ApicRegister | undefined {
    const row = APIC_ROWS[index];
    if (row !== undefined && row.xapic !== "none") return row;
    this.#error(ESR.illegalRegister);
    return undefined;
  }

  #x2apicRow(msr: number): ApicRegister | undefined {
    const index = msr - X2APIC_MSR_BASE;
    if (!this.#x2apicMode || index < 0 || index >= APIC_REGISTER_COUNT) return undefined;
    const row = APIC_ROWS[index];
    return row === undefined || row.x2apic === "none" ? undefined : row;
  }

  #get(index: number): number {
    switch (index) {
      case APIC.id.index:
        return this.#x2apicMode ? this.initialId : this.#state.registers[index]!;
      case APIC.ldr.index:
        // SDM 11.12.10.2: in x2APIC mode the logical ID follows from the ID.
        if (!this.#x2apicMode) return this.#state.registers[index]!;
        return ((this.initialId >>> 4) << 16) | (1 << (this.initialId & 0xf));
      case APIC.ppr.index:
        return this.priority;
      case APIC.currentCount.index:
        return this.#timer.currentCount;
      default:
        return this.#state.registers[index]!;
    }
  }

  /** Writes a register; `value` has only bits the table allows. */
  #set(index: number, value: number): void {
    const s = this.#state;
    const r = s.registers;
    switch (index) {
      case APIC.eoi.index:
        this.#endOfInterrupt();
        break;
      case APIC.dfr.index:
        r[index] = value | ~APIC.dfr.bits;
        break;
      case APIC.svr.index:
        r[index] = value;
        if ((value & SVR_ENABLE) === 0) this.#maskAll();
        break;
      case APIC.esr.index:
        r[index] = s.errors;
        s.errors = 0;
        break;
      case APIC.icrLow.index:
        r[index] = value;
        this.#sendIpi(value);
        break;
      case APIC.initialCount.index:
        r[index] = value;
        this.#timer.setInitialCount(value >>> 0);
        r[index] = s.timer.initialCount;
        break;
      case APIC.divide.index:
        r[index] = value;
        this.#timer.setDivide(value);
        break;
      case APIC.selfIpi.index:
        this.accept(DELIVERY.fixed, value & 0xff, false);
        break;
      default:
        if (index >= LVT_FIRST && index <= LVT_LAST) this.#setLvt(index, value);
        else r[index] = value;
    }
    this.#changed();
  }

  #setLvt(index: number, value: number): void {
    const r = this.#state.registers;
    this.#vectors.set(index, value);
    if (index !== APIC.lvtTimer.index) return;
    this.#timer.configure((value >> TIMER_MODE_SHIFT) & 3, (r[index]! & LVT_MASKED) !== 0);
    r[APIC.initialCount.index] = this.#state.timer.initialCount;
  }

  #maskAll(): void {
    const r = this.#state.registers;
    for (let index: number = LVT_FIRST; index <= LVT_LAST; index++) this.#setLvt(index, r[index]! | LVT_MASKED);
  }

  /** With the APIC disabled its pins are the processor's INTR and NMI, SDM 11.4.3. */
  #bypassed(pin: 0 | 1): void {
    if (pin === 0) {
      this.#changed();
      return;
    }
    this.#state.nmi = true;
    this.#ports.onPending();
  }

  #acceptFixed(vector: number, level: boolean): boolean {
    const r = this.#state.registers;
    if (!this.enabled) return false;
    if (vector < FIRST_LEGAL_VECTOR) {
      this.#error(ESR.receiveIllegalVector);
      return false;
    }
    if (level) setVector(r, APIC.tmr.index, vector);
    else clearVector(r, APIC.tmr.index, vector);
    setVector(r, APIC.irr.index, vector);
    this.#changed();
    return true;
  }

  #error(bit: number): void {
    const s = this.#state;
    s.errors |= bit;
    const entry = s.registers[APIC.lvtError.index]!;
    // An error entry with an illegal vector would raise itself again without end.
    if ((entry & LVT_MASKED) === 0 && (entry & 0xff) >= FIRST_LEGAL_VECTOR) this.#vectors.signal(APIC.lvtError.index);
  }

  #endOfInterrupt(): void {
    const r = this.#state.registers;
    const vector = highestVector(r, APIC.isr.index);
    if (vector < 0) return;
    clearVector(r, APIC.isr.index, vector);
    if (!hasVector(r, APIC.tmr.index, vector)) return;
    this.#ports.endOfInterrupt(vector);
    this.#vectors.endOfInterrupt(vector);
  }

  #sendIpi(icr: number): void {
    const high = this.#state.registers[APIC.icrHigh.index]!;
    const ipi = ipiOf(icr, this.#x2apicMode ? high >>> 0 : destination8(high >>> 24));
    if (ipi === undefined) return;
    const { shorthand, message } = ipi;
    const { mode, vector } = message;
    const fixed = mode === DELIVERY.fixed || mode === DELIVERY.lowestPriority;
    if (fixed && vector < FIRST_LEGAL_VECTOR) this.#error(ESR.sendIllegalVector);
    else if (shorthand !== SHORTHAND.self) this.#ports.ipi(this, shorthand, message);
    else if (fixed) this.#acceptFixed(vector, false);
  }

  #extIntPending(): boolean {
    if (!this.#hardwareEnabled) return this.#state.lint[0];
    return this.#state.extInt || this.#vectors.extInt;
  }

  /** The highest requested vector above the processor priority, or -1. */
  #deliverable(): number {
    if (!this.#hardwareEnabled) return NONE;
    const vector = highestVector(this.#state.registers, APIC.irr.index);
    return vector >= 0 && vector >> 4 > this.priority >> 4 ? vector : NONE;
  }

  /** Tells the run loop when what the vCPU would take changed. */
  #changed(): void {
    const vector = this.pending();
    if (vector === this.#announced) return;
    this.#announced = vector;
    if (vector >= 0) this.#ports.onPending();
  }
}

/** What a local APIC keeps, all of it for a snapshot, and what it holds at power-up (SDM vol. 3A, 11.4.7.1). */
import { LOCAL_APIC } from "../platform.ts";
import { APIC, APIC_BASE, apicResetValues } from "./apic-registers.ts";
import { type ApicTimerState, apicTimerReset } from "./apic-timer.ts";

/** No vector. */
export const NONE = -1;

export interface LocalApicState {
  /** By register index, see apic-registers.ts. */
  registers: number[];
  baseLow: number;
  baseHigh: number;
  timer: ApicTimerState;
  /** Errors seen since ESR was last written. */
  errors: number;
  /** Levels of LINT0 and LINT1. */
  lint: [boolean, boolean];
  /** An I/O APIC sent an ExtINT message. */
  extInt: boolean;
  nmi: boolean;
  init: boolean;
  /** Vector of a pending SIPI, or -1. */
  startUp: number;
  /** After INIT an application processor does nothing until a SIPI comes. */
  waitsForStartUp: boolean;
}

/** `id`: the x2APIC ID; its low 8 bits are the initial xAPIC ID. */
export function localApicPowerUp(id: number, bootstrap: boolean): LocalApicState {
  const registers = apicResetValues();
  registers[APIC.id.index] = id << 24;
  return {
    registers,
    baseLow: LOCAL_APIC.address | APIC_BASE.enable | (bootstrap ? APIC_BASE.bsp : 0),
    baseHigh: 0,
    timer: apicTimerReset(),
    errors: 0,
    lint: [false, false],
    extInt: false,
    nmi: false,
    init: false,
    startUp: NONE,
    waitsForStartUp: !bootstrap,
  };
}

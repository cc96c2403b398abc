/** Interprocessor interrupts: the interrupt command register and logical destinations (SDM vol. 3A, 11.6). */
import { DELIVERY, type InterruptMessage } from "./messages.ts";

const ICR_LOGICAL = 0x800;
const ICR_ASSERT = 0x4000;
const ICR_LEVEL = 0x8000;
/** Models of the destination format register (DFR bits 31:28). */
const CLUSTER = 0;
const FLAT = 0xf;

export interface Ipi {
  /** One of SHORTHAND. */
  readonly shorthand: number;
  readonly message: InterruptMessage;
}

/** What a write to the ICR's low half sends to a destination; undefined for nothing. */
export function ipiOf(icr: number, destination: number): Ipi | undefined {
  const mode = (icr >> 8) & 7;
  // INIT level de-assert only set arbitration IDs on old processors; nothing is left to do, SDM 11.6.1.
  if (mode === DELIVERY.init && (icr & (ICR_ASSERT | ICR_LEVEL)) === ICR_LEVEL) return undefined;
  const message = { vector: icr & 0xff, mode, level: false, logical: (icr & ICR_LOGICAL) !== 0, destination };
  return { shorthand: (icr >> 18) & 3, message };
}

/** Is an xAPIC with this logical ID among the destinations? `model`: DFR bits 31:28; others than two are reserved. */
export function matchesLogical(destination: number, id: number, model: number): boolean {
  if (destination >>> 0 > 0xff) return false;
  if (model === FLAT) return (destination & id) !== 0;
  return model === CLUSTER && destination >> 4 === id >> 4 && (destination & id & 0xf) !== 0;
}

/** The same in x2APIC mode, where all is clusters: SDM 11.12.10.2. */
export function matchesX2apic(destination: number, ldr: number): boolean {
  return destination >>> 16 === ldr >>> 16 && (destination & ldr & 0xffff) !== 0;
}

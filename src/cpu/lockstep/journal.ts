/**
 * What one vCPU asked of the world around it and was answered, in order, so that a second one can live through the same: port and
 * device accesses, time, randomness, registers of the local APIC; and the interrupts it took, with where it took them.
 */

import type { Cpu } from "../cpu.ts";

/** What tells where a vCPU is. */
export type Place = Pick<Cpu, "instructions" | "r">;

/** One question to the ports, with its operands and the answer. */
export interface Access {
  /** As messages name it: "port read". */
  readonly what: string;
  readonly at: number;
  readonly size: number;
  /** What was written; 0 for reads. */
  readonly value: number;
  readonly answer: number;
  readonly bytes?: Uint8Array;
}

/**
 * An interrupt or NMI that was taken. The number of instructions alone does not say where: exceptions are delivered without one retired.
 */
export interface Arrival {
  readonly kind: "interrupt" | "nmi";
  readonly vector: number;
  readonly instructions: number;
  readonly rip: bigint;
  readonly rsp: bigint;
}

const sizeText = (size: number) => (size === 0 ? "" : `, ${size} bytes`);

/** An access as messages show it. */
export const describeAccess = ({ what, at, size, value }: Omit<Access, "answer">): string =>
  `${what} 0x${at.toString(16)}${sizeText(size)}${value === 0 ? "" : `, value 0x${(value >>> 0).toString(16)}`}`;

export const describeArrival = ({ kind, vector, instructions, rip }: Arrival): string =>
  `${kind === "nmi" ? "an NMI" : `interrupt ${vector}`} after ${instructions} instructions at 0x${rip.toString(16)}`;

export class Journal {
  readonly #accesses: Access[] = [];
  readonly #arrivals: Arrival[] = [];
  #nextAccess = 0;
  #nextArrival = 0;

  /** Forgets everything: a new slice begins. */
  clear(): void {
    this.#accesses.length = 0;
    this.#arrivals.length = 0;
    this.#nextAccess = 0;
    this.#nextArrival = 0;
  }
  noteAccess(access: Access): void {
    this.#accesses.push(access);
  }
  noteArrival(arrival: Arrival): void {
    this.#arrivals.push(arrival);
  }
  /** The access that comes next in the replay. */
  get access(): Access | undefined {
    return this.#accesses[this.#nextAccess];
  }
  passAccess(): void {
    this.#nextAccess++;
  }
  get arrival(): Arrival | undefined {
    return this.#arrivals[this.#nextArrival];
  }
  /** Whether the next arrival was at this place. */
  isDue({ instructions, r }: Place): boolean {
    const { arrival } = this;
    if (arrival?.instructions !== instructions) return false;
    return arrival.rip === r.getBig("rip") && arrival.rsp === r.getBig("rsp");
  }
  passArrival(): void {
    this.#nextArrival++;
  }
}

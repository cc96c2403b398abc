/**
 * What is known, while code is copied, of the addresses it will use: which registers hold the same value but for a constant, and the host
 * addresses of accesses made so far. An access that is a constant distance from an earlier one is likely to be on the same page, and
 * needs no look at the TLB then. Nothing in a block changes what that said: whatever does ends the block, or calls what is not generated
 * code, and all is forgotten there.
 */
import type { OperandSpec } from "../../isa/row.ts";
import { RECORD } from "../interpreter/record.ts";
import { GPR_NAMES } from "../state.ts";
import { fieldAt, HOSTS } from "./cached-fields.ts";
import type { Near } from "./near-code.ts";
import type { FirstAccess } from "./template.ts";

const RSP = GPR_NAMES.indexOf("rsp");
/** Of what is further away, most is on another page. */
const FAR = 1024;
const REGISTERS: readonly OperandSpec["kind"][] = ["reg", "rm", "rmreg", "fixed"];
const isRegister = (field: number) => field < GPR_NAMES.length;

/** A value that nothing else is known of, and a constant beside it. */
interface Value {
  readonly unknown: number;
  readonly offset: number;
}
interface Host extends Value {
  /** It may be written to. */
  readonly write: boolean;
}

export class Addresses {
  /** By cached field. */
  #values = new Map<number, Value>();
  #hosts: readonly (Host | undefined)[] = [];
  /** Unknown values are fields' own at first, and then new ones. */
  #next = 0;
  #turn = 0;

  /** Nothing is known any more. */
  forget(): void {
    this.#values = new Map();
    this.#hosts = [];
  }
  /** What is known, to come back to it. */
  save(): () => void {
    const [values, hosts] = [this.#values, this.#hosts];
    this.#values = new Map(values);
    return () => {
      this.#values = values;
      this.#hosts = hosts;
    };
  }

  #valueOf(field: number): Value {
    return this.#values.get(field) ?? { unknown: ~field, offset: 0 };
  }
  /** A field has some other value. */
  change(field: number): void {
    this.#values.set(field, { unknown: this.#next++, offset: 0 });
  }

  /** Address of an instruction's first access. */
  #addressOf({ record }: Near, view: DataView, { stack, write, bytes }: FirstAccess): Value {
    const base = stack ? RSP : fieldAt(view.getUint16(record + RECORD.base, true));
    const { unknown, offset } = this.#valueOf(base);
    const below = write ? -bytes : 0;
    return { unknown, offset: offset + (stack ? below : view.getInt32(record + RECORD.displacement, true)) };
  }
  /** The local with the host address of an access near this one, and how far away that is; undefined where there is none. */
  near(
    node: Near,
    view: DataView,
    access: FirstAccess,
  ): { readonly local: number; readonly distance: number } | undefined {
    const { unknown, offset } = this.#addressOf(node, view, access);
    for (const [i, host] of this.#hosts.entries()) {
      if (host?.unknown !== unknown || (access.write && !host.write)) continue;
      const distance = offset - host.offset;
      if (Math.abs(distance) <= FAR) return { local: HOSTS.first + i, distance };
    }
    return undefined;
  }
  /** The local in which the host address of an access is to be kept. */
  keep(node: Near, view: DataView, access: FirstAccess): number {
    const address = this.#addressOf(node, view, access);
    // One that may be written to takes the place of one that may not.
    const same = this.#hosts.findIndex((host) => host?.unknown === address.unknown);
    const place = same >= 0 ? same : this.#turn++ % HOSTS.kept;
    const hosts = [...this.#hosts];
    hosts[place] = { ...address, write: access.write };
    this.#hosts = hosts;
    return HOSTS.first + place;
  }

  /** An instruction has set some fields; `reads`: those that it reads. */
  follow(node: Near, view: DataView, sets: readonly number[], reads: readonly number[]): void {
    const { row, size } = node.kind.variant;
    const known = size === 64 ? this.#moved(node, view, reads) : undefined;
    const top = this.#valueOf(RSP);
    let others = 0;
    for (const field of sets) {
      if (!isRegister(field)) continue;
      if (field !== RSP) others++;
      if (known) this.#values.set(field, known);
      else this.change(field);
    }
    if (size !== 64) return;
    // What POP brings into RSP itself, or leaves in memory, is nothing to follow.
    const pops = row.mnemonic === "POP" && others === 1;
    const pushes = row.mnemonic === "PUSH" || row.mnemonic === "CALL";
    if (pops || pushes) this.#values.set(RSP, { unknown: top.unknown, offset: top.offset + (pops ? 8 : -8) });
  }
  /** What an instruction sets its register to, where that is what some register was, but for a constant. */
  #moved({ kind, record }: Near, view: DataView, reads: readonly number[]): Value | undefined {
    const { row, addressing } = kind.variant;
    const [to, from] = row.operands;
    if (to?.width !== "v" || !REGISTERS.includes(to.kind)) return undefined;
    if (row.mnemonic === "LEA" && addressing === "base") {
      const { unknown, offset } = this.#valueOf(fieldAt(view.getUint16(record + RECORD.base, true)));
      return { unknown, offset: offset + view.getInt32(record + RECORD.displacement, true) };
    }
    const sources = reads.filter(isRegister);
    if (addressing !== "none" || sources.length !== 1) return undefined;
    const { unknown, offset } = this.#valueOf(sources[0]!);
    if (row.mnemonic === "MOV")
      return from?.width === "v" && REGISTERS.includes(from.kind) ? { unknown, offset } : undefined;
    if (from?.kind !== "imm" || (row.mnemonic !== "ADD" && row.mnemonic !== "SUB")) return undefined;
    const added = view.getInt32(record + RECORD.immediate, true);
    return { unknown, offset: offset + (row.mnemonic === "ADD" ? added : -added) };
  }
}

/** A vCPU's state as plain data, by the declared table: architectural fields only; the rest is rebuilt from them. */
import { STATE_BASE } from "./memory-map.ts";
import type { Registers } from "./registers.ts";
import { FIELDS, fieldSize } from "./state.ts";

/** Values by field name: numbers for i32, BigInt for i64, bytes for wider ones. It survives structured cloning. */
export interface CpuSnapshot {
  readonly version: 1;
  readonly fields: Readonly<Record<string, number | bigint | Uint8Array>>;
  /** MSRs that are plain storage, by index. */
  readonly msrs: readonly (readonly [index: number, value: bigint])[];
  readonly tscOffset: bigint;
}

const architectural = [...FIELDS.values()].filter((f) => f.part === "architectural");

export function readFields(r: Registers, memory: Uint8Array): CpuSnapshot["fields"] {
  return Object.fromEntries(
    architectural.map((field) => {
      const at = STATE_BASE + field.offset;
      if (field.type === "i32") return [field.name, r.get(field.name)];
      if (field.type === "i64") return [field.name, r.getBig(field.name)];
      return [field.name, memory.slice(at, at + fieldSize(field.type))];
    }),
  );
}

/** Throws TypeError where a field is missing, unknown, or of another type. */
export function writeFields(r: Registers, memory: Uint8Array, fields: CpuSnapshot["fields"]): void {
  const unknown = Object.keys(fields).find((name) => FIELDS.get(name)?.part !== "architectural");
  if (unknown !== undefined) throw new TypeError(`a vCPU has no field ${unknown} to restore`);
  for (const { name, type, offset } of architectural) {
    const value = fields[name];
    const kind = type === "i32" ? "number" : type === "i64" ? "bigint" : "object";
    if (typeof value !== kind) throw new TypeError(`field ${name} of a vCPU is ${typeof value}, not ${kind}`);
    if (type === "i32") r.set(name, value as number);
    else if (type === "i64") r.setBig(name, value as bigint);
    else {
      const bytes = value as Uint8Array;
      if (bytes.length !== fieldSize(type)) throw new TypeError(`field ${name} of a vCPU has ${bytes.length} bytes`);
      memory.set(bytes, STATE_BASE + offset);
    }
  }
}

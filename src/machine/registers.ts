import type { AccessSize } from "./bus.ts";

/**
 * A device's registers as one table. From its rows derive the values after reset, which register an
 * access reaches, and which bits a write may change; the device adds only what an access does.
 */
export interface Register {
  /** Bytes from the start of the device's range, or the index where the device has an index port. */
  readonly offset: number;
  /** In bytes; 1 where absent. */
  readonly width?: AccessSize;
  readonly access: "r" | "w" | "rw";
  /** Value after reset; 0 where absent. */
  readonly reset?: number;
  /** Bits a write may change; all of a register with `w` where absent. */
  readonly writable?: number;
  /** Registers that share an offset are told apart by a bank, chosen by another register. */
  readonly bank?: number;
}

export type RegisterTable = Readonly<Record<string, Register>>;
export type RegisterValues<Table extends RegisterTable> = { [Name in keyof Table]: number };

/** A register may appear in every bank by leaving `bank` out. */
const inBank = (register: Register, bank: number): boolean => register.bank === undefined || register.bank === bank;

/** Bits of `register` that a write may change. */
export const writableBits = (register: Register): number =>
  register.access === "r" ? 0 : (register.writable ?? 2 ** (8 * (register.width ?? 1)) - 1);

/** What every register holds after reset. */
export const resetValues = <Table extends RegisterTable>(table: Table): RegisterValues<Table> =>
  Object.fromEntries(Object.entries(table).map(([name, row]) => [name, row.reset ?? 0])) as RegisterValues<Table>;

/** The names of the registers in `Table` that can be accessed that way. */
type Accessible<Table extends RegisterTable, Access extends "r" | "w"> = {
  [Name in keyof Table]: Table[Name]["access"] extends Access | "rw" ? Name : never;
}[keyof Table];

/** Lookup of the register that reading or writing byte `offset` reaches, by bank; `undefined` where there is none. */
export const decoder = <Table extends RegisterTable, Access extends "r" | "w">(
  table: Table,
  access: Access,
  banks = 1,
) => {
  const rows: (Accessible<Table, Access> | undefined)[][] = Array.from({ length: banks }, () => []);
  for (const [name, row] of Object.entries(table)) {
    for (const [bank, names] of rows.entries()) {
      if (!row.access.includes(access) || !inBank(row, bank)) continue;
      for (let i = 0; i < (row.width ?? 1); i++) {
        if (names[row.offset + i] !== undefined)
          throw new RangeError(`registers ${name} and ${String(names[row.offset + i])} overlap`);
        names[row.offset + i] = name as Accessible<Table, Access>;
      }
    }
  }
  return (offset: number, bank = 0): Accessible<Table, Access> | undefined => rows[bank]?.[offset];
};

/** The registers as `size` bytes that lie in one address space: what they hold after reset and which bits are writable. */
export const layout = (table: RegisterTable, size: number): { reset: Uint8Array; writable: Uint8Array } => {
  const image = { reset: new Uint8Array(size), writable: new Uint8Array(size) };
  for (const row of Object.values(table)) {
    for (let i = 0; i < (row.width ?? 1); i++) {
      image.reset[row.offset + i] = (row.reset ?? 0) >>> (8 * i);
      image.writable[row.offset + i] = writableBits(row) >>> (8 * i);
    }
  }
  return image;
};

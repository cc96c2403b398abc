/** Resource descriptors for `_CRS` (ACPI 6.5, 6.4). A template ends with an end tag. */
import { struct, u8, u16, u32 } from "../../base/index.ts";
import { type Aml, buffer } from "./aml.ts";

const IoPort = struct("I/O port descriptor", 8, {
  tag: u8,
  decode: u8,
  minimum: u16,
  maximum: u16,
  align: u8,
  length: u8,
});
const Irq = struct("IRQ descriptor without flags", 3, { tag: u8, mask: u16 });
const Memory32Fixed = struct("32-bit fixed memory descriptor", 12, {
  tag: u8,
  length: u16,
  writable: u8,
  base: u32,
  size: u32,
});

const addressSpace = (name: string, size: number, word: typeof u16) =>
  struct(name, size, {
    tag: u8,
    length: u16,
    type: u8,
    flags: u8,
    typeFlags: u8,
    granularity: word,
    minimum: word,
    maximum: word,
    translation: word,
    range: word,
  });
const WordAddress = addressSpace("word address space descriptor", 16, u16);
const DwordAddress = addressSpace("double word address space descriptor", 26, u32);

/** Passed on to the bus behind the bridge; both ends fixed. */
const PRODUCED = 0x0c;
const SPACE = { memory: 0, io: 1, bus: 2 } as const;
/** I/O: the whole range. Memory: writable, not cacheable. */
const TYPE_FLAGS = { memory: 0x01, io: 0x03, bus: 0x00 } as const;

export const ioPorts = (port: number, length: number): Uint8Array =>
  IoPort.encode({ tag: 0x47, decode: 1, minimum: port, maximum: port, align: 1, length });

/** Edge triggered, active high, not shared: an ISA interrupt. */
export const irq = (line: number): Uint8Array => Irq.encode({ tag: 0x22, mask: 1 << line });

export const fixedMemory = (base: number, size: number): Uint8Array =>
  Memory32Fixed.encode({ tag: 0x86, length: Memory32Fixed.size - 3, writable: 1, base, size });

const window = (layout: typeof WordAddress, tag: number, type: keyof typeof SPACE, start: number, end: number) =>
  layout.encode({
    tag,
    length: layout.size - 3,
    type: SPACE[type],
    flags: PRODUCED,
    typeFlags: TYPE_FLAGS[type],
    minimum: start,
    maximum: end - 1,
    range: end - start,
  });

/** `end` is the first address, port or bus number that no longer belongs to the window. */
export const busNumbers = (start: number, end: number): Uint8Array => window(WordAddress, 0x88, "bus", start, end);
export const ioWindow = (start: number, end: number): Uint8Array => window(WordAddress, 0x88, "io", start, end);
export const memoryWindow = (start: number, end: number): Uint8Array =>
  window(DwordAddress, 0x87, "memory", start, end);

/** The end tag's checksum of zero means "not computed". */
const END_TAG = [0x79, 0];

export const resourceTemplate = (...descriptors: Uint8Array[]): Aml =>
  buffer([...descriptors.flatMap((descriptor) => Array.from(descriptor)), ...END_TAG]);

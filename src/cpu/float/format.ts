/**
 * The binary interchange formats of IEEE 754 and the x87 extended format (SDM vol. 1, table 4-3), and the bits
 * that control floating point operations and report on them.
 */
export interface Format {
  readonly name: string;
  readonly exponentBits: number;
  /** Bits of the significand, the leading one counted, whether stored or not. */
  readonly precision: number;
  readonly bias: number;
}

function format(name: string, exponentBits: number, precision: number): Format {
  return { name, exponentBits, precision, bias: 2 ** (exponentBits - 1) - 1 };
}

export const BINARY16 = format("binary16", 5, 11);
export const BINARY32 = format("binary32", 8, 24);
export const BINARY64 = format("binary64", 11, 53);
/** The leading one is stored: 1 + 15 + 64 bits. */
export const EXTENDED80 = format("extended80", 15, 64);

/** Smallest and largest exponent of a normal number. */
export const minExponent = (of: Format): number => 1 - of.bias;
export const maxExponent = (of: Format): number => of.bias;

/** Exception flags, where MXCSR and the x87 status word have them (SDM vol. 1, 8.1.3.3 and 10.2.3.1). */
export const FLAG = { IE: 1, DE: 2, ZE: 4, OE: 8, UE: 16, PE: 32 } as const;
/** The result was rounded away from zero: C1, where the x87 status word has it. MXCSR has no such bit. */
export const ROUNDED_UP = 0x200;

/**
 * How an operation is to be done: the layout of MXCSR, with the x87 precision control above it. An x87 control
 * word becomes (fcw & 0x3f) << 7 | (fcw & 0xc00) << 3 | (fcw & 0x300) << 8.
 */
export const CONTROL = {
  daz: 1 << 6,
  /** The mask of exception flag F is F << maskShift. */
  maskShift: 7,
  roundingShift: 13,
  ftz: 1 << 15,
  /** 0: 24 bits, 2: 53 bits, 3: 64 bits; see roundExtended. */
  precisionShift: 16,
} as const;

/** Rounding control (SDM vol. 1, table 4-8). */
export const ROUNDING = { nearest: 0, down: 1, up: 2, zero: 3 } as const;

/** DWARF expressions as call frame information has them (DWARF 5, 2.5): what computes addresses of registers and words. */
import { BadTable, Cursor } from "./cursor.ts";
import type { StackWords } from "./words.ts";

const MAX_DEPTH = 64;

/** What expressions may still take, in operations: branches may lead back. */
export interface Steps {
  left: number;
}

/** Evaluates to one number, NaN where a word is not readable. `stack`: what is on the stack at the start. Throws BadTable. */
export function evaluate(
  bytes: Uint8Array,
  registers: Float64Array,
  words: StackWords,
  steps: Steps,
  start: readonly number[] = [],
): number {
  const code = new Cursor(bytes, 0);
  const stack = [...start];
  const pop = (): number => {
    const value = stack.pop();
    if (value === undefined) throw new BadTable("an expression takes more than there is");
    return value;
  };
  const pick = (depth: number): number => {
    const value = stack[stack.length - 1 - depth];
    if (value === undefined) throw new BadTable("an expression takes more than there is");
    return value;
  };
  const binary = (f: (a: number, b: number) => number): number => {
    const b = pop();
    return f(pop(), b);
  };
  const bits = (f: (a: bigint, b: bigint) => bigint): number =>
    binary((a, b) =>
      Number.isSafeInteger(a) && Number.isSafeInteger(b)
        ? Number(BigInt.asIntN(64, f(BigInt(a), BigInt(b))))
        : Number.NaN,
    );
  const compare = (f: (a: number, b: number) => boolean): number => binary((a, b) => (f(a, b) ? 1 : 0));

  while (code.more) {
    if (steps.left-- <= 0 || stack.length > MAX_DEPTH) throw new BadTable("an expression does not end");
    const op = code.u8();
    if (op >= 0x30 && op <= 0x4f) stack.push(op - 0x30);
    else if (op >= 0x50 && op <= 0x6f) stack.push(registers[op - 0x50] ?? Number.NaN);
    else if (op >= 0x70 && op <= 0x8f) stack.push((registers[op - 0x70] ?? Number.NaN) + code.sleb());
    else {
      switch (op) {
        case 0x03: // addr
        case 0x0e: // const8u
        case 0x0f: // const8s
          stack.push(code.s64());
          break;
        case 0x06: // deref
          stack.push(words.word(pop()));
          break;
        case 0x08:
          stack.push(code.u8());
          break;
        case 0x09:
          stack.push(code.s8());
          break;
        case 0x0a:
          stack.push(code.u16());
          break;
        case 0x0b:
          stack.push(code.s16());
          break;
        case 0x0c:
          stack.push(code.u32());
          break;
        case 0x0d:
          stack.push(code.s32());
          break;
        case 0x10:
          stack.push(code.uleb());
          break;
        case 0x11:
          stack.push(code.sleb());
          break;
        case 0x12:
          stack.push(pick(0));
          break;
        case 0x13:
          pop();
          break;
        case 0x14:
          stack.push(pick(1));
          break;
        case 0x15:
          stack.push(pick(code.u8()));
          break;
        case 0x16: {
          const [b, a] = [pop(), pop()];
          stack.push(b, a);
          break;
        }
        case 0x19:
          stack.push(Math.abs(pop()));
          break;
        case 0x1a:
          stack.push(bits((a, b) => a & b));
          break;
        case 0x1b:
          stack.push(binary((a, b) => Math.trunc(a / b)));
          break;
        case 0x1c:
          stack.push(binary((a, b) => a - b));
          break;
        case 0x1d:
          stack.push(binary((a, b) => a % b));
          break;
        case 0x1e:
          stack.push(binary((a, b) => a * b));
          break;
        case 0x1f:
          stack.push(-pop());
          break;
        case 0x20:
          stack.push(-1 - pop());
          break;
        case 0x21:
          stack.push(bits((a, b) => a | b));
          break;
        case 0x22:
          stack.push(binary((a, b) => a + b));
          break;
        case 0x23:
          stack.push(pop() + code.uleb());
          break;
        case 0x24:
          stack.push(bits((a, b) => a << BigInt.asUintN(6, b)));
          break;
        case 0x25:
          stack.push(bits((a, b) => BigInt.asUintN(64, a) >> BigInt.asUintN(6, b)));
          break;
        case 0x26:
          stack.push(bits((a, b) => a >> BigInt.asUintN(6, b)));
          break;
        case 0x27:
          stack.push(bits((a, b) => a ^ b));
          break;
        case 0x28: {
          const distance = code.s16();
          if (pop() !== 0) jump(code, distance);
          break;
        }
        case 0x29:
          stack.push(compare((a, b) => a === b));
          break;
        case 0x2a:
          stack.push(compare((a, b) => a >= b));
          break;
        case 0x2b:
          stack.push(compare((a, b) => a > b));
          break;
        case 0x2c:
          stack.push(compare((a, b) => a <= b));
          break;
        case 0x2d:
          stack.push(compare((a, b) => a < b));
          break;
        case 0x2e:
          stack.push(compare((a, b) => a !== b));
          break;
        case 0x2f:
          jump(code, code.s16());
          break;
        case 0x92: {
          const register = code.uleb();
          stack.push((registers[register] ?? Number.NaN) + code.sleb());
          break;
        }
        case 0x94: {
          const mask = DEREF_MASKS[code.u8()];
          if (mask === undefined) throw new BadTable("an expression reads a number of a strange size");
          stack.push(deref(words.word(pop()), mask));
          break;
        }
        case 0x96: // nop
          break;
        default:
          throw new BadTable("an expression does what is not known");
      }
    }
  }
  return pop();
}

/** Of deref_size, by bytes: one more than the largest number. */
const DEREF_MASKS: Readonly<Record<number, number>> = { 1: 2 ** 8, 2: 2 ** 16, 4: 2 ** 32, 8: 2 ** 64 };

/** The low bytes of a word. */
const deref = (word: number, mask: number): number => (mask === 2 ** 64 ? word : word - Math.floor(word / mask) * mask);

function jump(code: Cursor, distance: number): void {
  const to = code.at + distance;
  if (to < 0 || to > code.end) throw new BadTable("an expression jumps out of itself");
  code.at = to;
}

/**
 * What the machine's thread and whoever watches it share while samples are taken: a page of words, and a ring of raw samples, in the machine's
 * memory in front of guest RAM. What nobody touches costs nothing, so the room is always there.
 *
 * The watcher writes what it wants to know into the words, and asks for it by REQUEST.sampled; it sets the tick; it reads the ring. The machine's
 * thread says where it is, and writes samples; where the ring is full it counts what it had to leave out.
 */
import { array, blob, type Gva, MiB, type StructOf, s64, struct, u8, u16, u32, u64 } from "../../base/index.ts";
import { SAMPLES, SAMPLES_SIZE } from "../../cpu/memory-map.ts";
import { GPR_NAMES } from "../../cpu/state.ts";

/** Int32 words, in the order of their names. */
const WORDS = [
  /** Bits of WANTED. */
  "wanted",
  /** 1: the machine has begun. */
  "begun",
  /** Instructions between two samples; 0: when the clock ticks. */
  "period",
  /** One of TICK, set by the watcher. */
  "tick",
  /** Ticks since the last sample: its weight. */
  "ticks",
  /** What the thread did at the tick. */
  "tickWork",
  "tickDetail",
  /** What it does now (cpu/host-work.ts), and the detail of that. */
  "work",
  "workDetail",
  /** Bytes written into the ring and read from it since the beginning, modulo 2^32. */
  "written",
  "read",
  /** Samples that found no room. */
  "lost",
  /** Bytes of a user stack that a sample takes along. */
  "userStack",
  /** Low bits of CR3 that do not belong to the kernel's page tables: 12, or 13 where they are a pair with the user's. */
  "rootBits",
  /** Members of task_struct. */
  "taskPid",
  "taskTgid",
  "taskComm",
] as const;
type Word = (typeof WORDS)[number];

/** Int64: addresses of the guest's kernel; 0: unknown. */
const ADDRESSES = [
  /** Per-CPU variable: the task that runs. */
  "currentTask",
  /** Per-CPU variable: the end of its kernel stack. */
  "topOfStack",
] as const;
type Address = (typeof ADDRESSES)[number];

/** Float64. */
const DOUBLES = [
  /** What the machine's clock showed when it began, in nanoseconds. */
  "begunAt",
  /** Instructions retired while it was watched. */
  "retired",
] as const;
type Double = (typeof DOUBLES)[number];

/** What is to be done while REQUEST.sampled stands. */
export const WANTED = {
  /** Samples are taken. */
  samples: 1,
  /** Exits are counted, with their times. */
  exits: 2,
} as const;

const ADDRESSES_AT = WORDS.length * 4 + ((WORDS.length * 4) % 8);
const DOUBLES_AT = ADDRESSES_AT + ADDRESSES.length * 8;
const NAMES_AT = 256;
/** Names of devices, a line each. */
const NAMES_SIZE = 4096;
const RING_AT = NAMES_AT + NAMES_SIZE;
/** A power of two: more than the samples of some tenths of a second. */
export const RING_SIZE = 2 * MiB;
if (DOUBLES_AT + DOUBLES.length * 8 > NAMES_AT || RING_AT + RING_SIZE > SAMPLES_SIZE)
  throw new Error("sample area overlaps");

/** Where its parts lie in the machine's memory. */
export const AREA = {
  word: (name: Word): number => SAMPLES + WORDS.indexOf(name) * 4,
  address: (name: Address): number => SAMPLES + ADDRESSES_AT + ADDRESSES.indexOf(name) * 8,
  ring: SAMPLES + RING_AT,
} as const;

const WORD = Object.fromEntries(WORDS.map((name, i) => [name, i])) as Readonly<Record<Word, number>>;
/** TASK_COMM_LEN. */
export const COMM_SIZE = 16;
/** A sample in the ring, in front of its pieces of memory. Registers as the processor has them. */
export const RAW_SAMPLE = struct("raw sample", 240, {
  /** Bytes with all pieces; 0: the ring goes on at its start. */
  length: u32,
  /** Index in cpu/host-work.ts; 0: the guest's own code. */
  work: u16,
  vcpu: u16,
  detail: u32,
  /** Ticks, or instructions. */
  weight: u32,
  /** Nanoseconds on the host's monotonic clock. */
  time: u64,
  /** Instructions retired. */
  instructions: u64,
  cpl: u8,
  /** 64: long mode; 32, 16. */
  codeBits: u8,
  pieces: u16,
  /** 1: what follows of the task is known. */
  hasTask: u32,
  pid: u32,
  tgid: u32,
  task: s64,
  comm: blob(COMM_SIZE),
  /** General registers in the order of GPR_NAMES. */
  gpr: array(s64, GPR_NAMES.length),
  rip: s64,
  cr3: u64,
  gsBase: s64,
  kernelGsBase: s64,
  reserved: u64,
});
export type RawSample = StructOf<typeof RAW_SAMPLE>;

/** In front of a piece of memory. Its bytes follow, filled up to a multiple of 8. */
export const RAW_PIECE = struct("raw piece", 16, { start: s64, length: u32, reserved: u32 });

/** Both ends see the same words and ring. */
export class SampleArea {
  readonly words: Int32Array;
  readonly view: DataView;
  readonly #addresses: DataView;
  readonly #doubles: Float64Array;
  readonly #names: Uint8Array;

  /** `memory`: the machine's. */
  constructor({ buffer }: WebAssembly.Memory) {
    this.words = new Int32Array(buffer, SAMPLES, WORDS.length);
    this.#addresses = new DataView(buffer, SAMPLES + ADDRESSES_AT, ADDRESSES.length * 8);
    this.#doubles = new Float64Array(buffer, SAMPLES + DOUBLES_AT, DOUBLES.length);
    this.#names = new Uint8Array(buffer, SAMPLES + NAMES_AT, NAMES_SIZE);
    this.view = new DataView(buffer, AREA.ring, RING_SIZE);
  }
  get(word: Word): number {
    return Atomics.load(this.words, WORD[word]);
  }
  set(word: Word, value: number): void {
    Atomics.store(this.words, WORD[word], value);
  }
  /** What the thread does now. A tick that sees it a moment late does no harm, and this happens at each exit: plain stores. */
  setWork(work: number, detail: number): void {
    this.words[WORD.workDetail] = detail;
    this.words[WORD.work] = work;
  }
  number(name: Double): number {
    return this.#doubles[DOUBLES.indexOf(name)]!;
  }
  setNumber(name: Double, value: number): void {
    this.#doubles[DOUBLES.indexOf(name)] = value;
  }
  /** Exact where it is a multiple of 8, as all that is asked for is. */
  setAddress(name: Address, value: Gva): void {
    const at = ADDRESSES.indexOf(name) * 8;
    this.#addresses.setInt32(at, value | 0, true);
    this.#addresses.setInt32(at + 4, Math.floor(value / 2 ** 32), true);
  }

  /** By their numbers in `detail` of samples. */
  get devices(): readonly string[] {
    const end = this.#names.indexOf(0);
    return String.fromCharCode(...this.#names.subarray(0, end)).split("\n");
  }
  /** Names in ASCII. Those for which there is no room are left out. */
  set devices(names: readonly string[]) {
    const text = names.join("\n").slice(0, NAMES_SIZE - 1);
    for (let i = 0; i < text.length; i++) this.#names[i] = text.charCodeAt(i);
    this.#names[text.length] = 0;
  }

  /** Bytes of samples that nobody has taken. */
  get waiting(): number {
    return (this.get("written") - this.get("read")) >>> 0;
  }

  /** Shows each sample there is to `take`, which copies what it keeps. What comes meanwhile, and may come as fast, is left for the next time. */
  drain(take: (at: number) => void): void {
    const written = this.get("written");
    while (this.get("read") !== written) this.set("read", this.#show(this.get("read") >>> 0, take));
  }

  /** Shows those that were written since `place` and that nobody has taken, and leaves them there. Answers where the next will be. */
  peek(place: number, see: (at: number) => void): number {
    const written = this.get("written") >>> 0;
    const { waiting } = this;
    let next = (written - place) >>> 0 > waiting ? (written - waiting) >>> 0 : place >>> 0;
    while (next !== written) next = this.#show(next, see);
    return next;
  }

  /** What is at a place of the ring; answers what follows. Lengths there are our own thread's word. */
  #show(place: number, see: (at: number) => void): number {
    const at = place % RING_SIZE;
    const length = this.view.getUint32(at, true);
    if (length > 0) see(at);
    return (place + (length > 0 ? length : RING_SIZE - at)) >>> 0;
  }
}

/**
 * The kernel's log: the lockless ring of printk (kernel/printk/printk_ringbuffer.h, since 5.10). A ring of descriptors
 * has a state and two positions each in a ring of text; positions and numbers of descriptors only grow, from near the
 * top of 64 bits, and mean a place modulo the ring's size. Kernels before 5.10 keep another log (log_buf), which is not
 * read.
 */
import { type Gva, gva, type Ns, ns } from "../base/index.ts";
import { Inconsistent, type Listing, readEach, readListing } from "./lists.ts";
import type { Look } from "./look.ts";

/** Records: CONFIG_LOG_BUF_SHIFT is 25 at most, a record takes 32 bytes of it. A hostile ring claims up to 2^32. */
const MOST_COUNT_BITS = 20;
/** log_buf_len is at most 2 GiB. */
const MOST_SIZE_BITS = 31;
/** States of a descriptor, in the top two bits of its number (enum desc_state): its text is complete, or may grow. */
const COMMITTED = 1;
const FINALIZED = 2;
const HIGH_ID = 0x3fff_ffff;
/** A position that stands for no text (FAILED_LPOS, EMPTY_LINE_LPOS). */
const DATALESS = 1;

/** Levels of a message (include/linux/kern_levels.h). */
export const LOG_LEVELS = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"] as const;
/** Facilities of syslog (RFC 5424, 6.2.1). */
export const LOG_FACILITIES = [
  "kern",
  "user",
  "mail",
  "daemon",
  "auth",
  "syslog",
  "lpr",
  "news",
  "uucp",
  "cron",
  "authpriv",
  "ftp",
] as const;

export interface LogRecord {
  readonly sequence: number;
  /** On the guest's own clock, from its boot on. */
  readonly time: Ns;
  readonly level: (typeof LOG_LEVELS)[number];
  readonly facility: string;
  /** May have several lines. */
  readonly text: string;
}

/** The log as it is, oldest first. Throws VivError for want of types or symbols. */
export function readKernelLog(look: Look): Listing<LogRecord> {
  const { space } = look;
  const what = "the kernel's log";
  const variable = look.variable(what, "prb");
  const R = look.offsets(
    what,
    "printk_ringbuffer",
    "desc_ring.count_bits",
    "desc_ring.descs",
    "desc_ring.infos",
    "desc_ring.head_id",
    "desc_ring.tail_id",
    "text_data_ring.size_bits",
    "text_data_ring.data",
  );
  const D = look.offsets(what, "prb_desc", "state_var", "text_blk_lpos.begin", "text_blk_lpos.next");
  const I = look.offsets(what, "printk_info", "seq", "ts_nsec", "text_len", "facility", "level");
  const B = look.offsets(what, "prb_data_block", "id", "data");
  const descriptorSize = look.sizeOf(what, "prb_desc");
  const infoSize = look.sizeOf(what, "printk_info");

  return readListing((rows, gaps) => {
    const ring = space.pointer(variable);
    const countBits = space.u32(ring, R["desc_ring.count_bits"]);
    const sizeBits = space.u32(ring, R["text_data_ring.size_bits"]);
    if (countBits > MOST_COUNT_BITS || sizeBits > MOST_SIZE_BITS) {
      gaps.push("the log's ring is too large to be one");
      return;
    }
    const descriptors = space.pointer(ring, R["desc_ring.descs"]);
    const infos = space.pointer(ring, R["desc_ring.infos"]);
    const text = space.pointer(ring, R["text_data_ring.data"]);
    const count = 2 ** countBits;
    const size = 2 ** sizeBits;
    // Modulo 2^32: the rings are smaller.
    const tail = space.u32(ring, R["desc_ring.tail_id"]);
    const head = space.u32(ring, R["desc_ring.head_id"]);
    const length = Math.min(count, ((head - tail) >>> 0) + 1);

    const read = (id: number): LogRecord | undefined => {
      const index = (id & (count - 1)) >>> 0;
      const descriptor = gva(descriptors + index * descriptorSize);
      const low = space.u32(descriptor, D.state_var);
      const high = space.u32(descriptor, D.state_var + 4);
      const state = high >>> 30;
      // The oldest are thrown away, the newest being written.
      if (low !== id || (state !== FINALIZED && state !== COMMITTED)) return undefined;
      const info = gva(infos + index * infoSize);
      const claimed = space.u16(info, I.text_len);
      const line = blockText(look, { text, size, block: B }, descriptor, claimed, low, high & HIGH_ID, D);
      if (line === undefined) throw new Inconsistent("a record lost its text");
      const level = space.u8(info, I.level) >>> 5;
      const facility = space.u8(info, I.facility);
      const record: LogRecord = {
        sequence: space.u64(info, I.seq),
        time: ns(space.u64(info, I.ts_nsec)),
        level: LOG_LEVELS[level]!,
        facility:
          LOG_FACILITIES[facility] ?? (facility >= 16 && facility < 24 ? `local${facility - 16}` : `${facility}`),
        text: line,
      };
      // Used again while it was read.
      return space.u32(descriptor, D.state_var) === low ? record : undefined;
    };

    const ids = Array.from({ length }, (_, i) => (tail + i) >>> 0);
    readEach(ids, read, rows, gaps, "records");
  });
}

interface TextRing {
  readonly text: Gva;
  readonly size: number;
  readonly block: { readonly id: number; readonly data: number };
}

/** The text of a descriptor; undefined: its block is not its own any more. */
function blockText(
  look: Look,
  ring: TextRing,
  descriptor: Gva,
  claimed: number,
  low: number,
  high: number,
  D: Readonly<Record<"text_blk_lpos.begin" | "text_blk_lpos.next", number>>,
): string | undefined {
  const { space } = look;
  const { size } = ring;
  const begin = space.u32(descriptor, D["text_blk_lpos.begin"]);
  const next = space.u32(descriptor, D["text_blk_lpos.next"]);
  if ((begin & DATALESS) !== 0 && (next & DATALESS) !== 0) return "";
  const first = (begin & (size - 1)) >>> 0;
  const last = (next & (size - 1)) >>> 0;
  // What would not fit before the ring's end begins at its start. A block that ends with the ring is none of those.
  const wraps = Math.floor(begin / size) !== Math.floor(next / size) && last !== 0;
  const start = wraps ? 0 : first;
  const room = (last === 0 ? size : last) - start - ring.block.data;
  const block = gva(ring.text + start);
  if (room < 0 || space.u32(block, ring.block.id) !== low) return undefined;
  if ((space.u32(block, ring.block.id + 4) & HIGH_ID) !== high) return undefined;
  return look.bytesAsText(block, Math.min(claimed, room), ring.block.data);
}

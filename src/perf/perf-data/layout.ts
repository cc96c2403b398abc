/**
 * Structures of Linux perf's files (tools/perf/Documentation/perf.data-file-format.txt, tools/lib/perf/include/perf/event.h and
 * include/uapi/linux/perf_event.h of Linux 6.1). Text and lists follow the structs where a record has them.
 */
import { ascii, blob, type Field, struct, u8, u16, u32, u64 } from "../../base/index.ts";

/** An address, of either half. Below -2^53 and above 2^53 the nearest that a number can be: nothing a guest says makes it throw. */
export const address: Field<number> = {
  size: 8,
  read: (view, at) => view.getUint32(at, true) + view.getInt32(at + 4, true) * 2 ** 32,
  write: (view, at, value) => {
    view.setUint32(at, value >>> 0, true);
    view.setUint32(at + 4, Math.floor(value / 2 ** 32) >>> 0, true);
  },
};

/** A whole number that is at least 0, from any number. */
export const wholeNumber = (value: number): number =>
  value > 0 ? Math.min(Math.round(value), Number.MAX_SAFE_INTEGER) : 0;

export const FileSection = struct("perf_file_section", 16, { offset: u64, size: u64 });

export const FileHeader = struct("perf_file_header", 104, {
  magic: ascii(8),
  size: u64,
  attrSize: u64,
  attrs: FileSection,
  data: FileSection,
  eventTypes: FileSection,
  /** Which features there are, a bit each. */
  features: blob(32),
});
export const MAGIC = "PERFILE2";

/** PERF_ATTR_SIZE_VER7. */
export const Attr = struct("perf_event_attr", 128, {
  type: u32,
  size: u32,
  config: u64,
  samplePeriod: u64,
  sampleType: u64,
  readFormat: u64,
  flags: u64,
  rest: blob(80),
});
/** An attr and where its identifiers are. */
export const FileAttr = struct("perf_file_attr", 144, { attr: Attr, ids: FileSection });

/** What each event is sampled by: PERF_TYPE_SOFTWARE or _HARDWARE, and PERF_COUNT_*. Time asleep is counted by none of the kernel's: a dummy. */
export const EVENTS = {
  "cpu-clock": { type: 1, config: 0 },
  instructions: { type: 0, config: 1 },
  "off-cpu": { type: 1, config: 9 },
} as const;
/** IP, TID, TIME, CALLCHAIN, PERIOD, IDENTIFIER. No CPU: which of the host's it was is not known. */
export const SAMPLE_TYPE = 0x1 | 0x2 | 0x4 | 0x20 | 0x100 | 0x1_0000;
/** exclude_kernel (the host's, or perf misses it), mmap, comm, task, sample_id_all, mmap2, comm_exec. */
export const ATTR_FLAGS = 2 ** 5 + 2 ** 8 + 2 ** 9 + 2 ** 13 + 2 ** 18 + 2 ** 23 + 2 ** 24;

export const RecordHeader = struct("perf_event_header", 8, { type: u32, misc: u16, size: u16 });
/** Records are a multiple of eight bytes long. */
export const MAX_RECORD = 0xfff8;
export const RECORD = { comm: 3, sample: 9, mmap2: 10, finishedRound: 68, idIndex: 69 } as const;
/** PERF_RECORD_MISC_GUEST_KERNEL and _USER; _MMAP_BUILD_ID. */
export const MISC = { guestKernel: 4, guestUser: 5, buildId: 1 << 14 } as const;
/**
 * PERF_CONTEXT_KERNEL and _USER, in front of addresses of that kind. perf takes them for the guest's in a sample of a guest; those
 * meant for guests make it throw the stack away (add_callchain_ip in machine.c).
 */
export const CONTEXT = { kernel: -128, user: -512 } as const;

/** Behind every record of the kernel that is no sample (sample_id_all). */
export const SampleId = struct("sample_id", 24, { pid: u32, tid: u32, time: u64, identifier: u64 });
/** Followed by the addresses. */
export const Sample = struct("sample", 48, {
  identifier: u64,
  ip: address,
  pid: u32,
  tid: u32,
  time: u64,
  period: u64,
  chainLength: u64,
});
/** Followed by the name. */
export const Comm = struct("perf_record_comm", 8, { pid: u32, tid: u32 });
/** With a build-id; followed by the name. */
export const Mmap2 = struct("perf_record_mmap2", 64, {
  pid: u32,
  tid: u32,
  start: address,
  length: u64,
  pageOffset: address,
  buildIdSize: u8,
  reserved: blob(3),
  buildId: blob(20),
  protection: u32,
  flags: u32,
});
/** Followed by two lists: entries, and their guests. */
export const IdIndex = struct("perf_record_id_index", 8, { count: u64 });
export const IdIndexEntry = struct("id_index_entry", 32, { id: u64, index: u64, cpu: u64, tid: u64 });
export const IdIndexGuest = struct("id_index_entry_2", 16, { machinePid: u64, vcpu: u64 });

/** HEADER_*: bits of the file's header, and the order of what follows the records. */
export const FEATURE = {
  hostname: 3,
  osRelease: 4,
  version: 5,
  arch: 6,
  cpuCount: 7,
  cpuDescription: 8,
  commandLine: 11,
  eventDescription: 12,
  sampleTime: 21,
  directoryFormat: 24,
} as const;

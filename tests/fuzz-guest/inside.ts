/**
 * The fuzzer's body for looks inside: a sound guest in which chance has changed some words, and everything that can be
 * listed of it. Whatever memory holds, a look ends after a bounded number of reads, throws VivErrors alone, and its
 * text is harmless.
 */
import { type Gpa, VivError } from "../../src/base/index.ts";
import { readKernelLog } from "../../src/guest/dmesg.ts";
import { FileTree } from "../../src/guest/file-tree.ts";
import type { Kernel } from "../../src/guest/kernel.ts";
import type { Listing } from "../../src/guest/lists.ts";
import { Look } from "../../src/guest/look.ts";
import { listMemoryAreas } from "../../src/guest/maps.ts";
import { AddressSpace, PhysicalMemory } from "../../src/guest/memory.ts";
import { listMounts } from "../../src/guest/mounts.ts";
import { listNetworkDevices } from "../../src/guest/network-devices.ts";
import { listOpenFiles } from "../../src/guest/open-files.ts";
import { readFile } from "../../src/guest/page-cache.ts";
import { showKernelLog } from "../../src/guest/show/dmesg.ts";
import { showDirectory, showOpenFiles } from "../../src/guest/show/files.ts";
import { showMaps } from "../../src/guest/show/maps.ts";
import { showMounts } from "../../src/guest/show/mounts.ts";
import { showNetworkDevices, showSockets } from "../../src/guest/show/net.ts";
import { showTasks } from "../../src/guest/show/tasks.ts";
import { listSockets } from "../../src/guest/sockets.ts";
import { listProcesses } from "../../src/guest/tasks.ts";
import { readUsers } from "../../src/guest/users.ts";
import { readClock, readNames } from "../../src/guest/uts.ts";
import type { Random } from "../fuzz/random.ts";
import { type Era, SyntheticGuest } from "../guest/synthetic-inside.ts";
import { type FuzzKind, type FuzzOptions, type FuzzResult, runCases } from "./cases.ts";

/** Reads that one look at a guest of 2 MiB may take. */
const MOST_READS = 20_000_000;
/** Of a file. */
const MOST_BYTES = 1024 * 1024;
const HARMFUL = /(?![\n\t])[\p{Cc}\p{Cf}]/u;

/** RAM that counts how often it is read. */
class CountedMemory extends PhysicalMemory {
  reads = 0;
  readonly #meanwhile: () => void;

  constructor(ram: Uint8Array, meanwhile: () => void) {
    super(ram);
    this.#meanwhile = meanwhile;
  }

  #count(): void {
    if (++this.reads > MOST_READS) throw new Error(`more than ${MOST_READS} reads`);
    this.#meanwhile();
  }
  override u8(at: Gpa): number {
    this.#count();
    return super.u8(at);
  }
  override u16(at: Gpa): number {
    this.#count();
    return super.u16(at);
  }
  override u32(at: Gpa): number {
    this.#count();
    return super.u32(at);
  }
  override read(at: Gpa, into: Uint8Array): void {
    this.#count();
    super.read(at, into);
  }
}

export interface LookAround {
  readonly rows: number;
  readonly reads: number;
}

/**
 * Lists all there is of a kernel, and shows it. `meanwhile` is called before each read. Throws where what is said above
 * does not hold.
 */
export function lookAround(
  given: Kernel & { readonly ram: Uint8Array },
  meanwhile: () => void = () => undefined,
): LookAround {
  const { root, levels } = given.space;
  const counted = new CountedMemory(given.ram, meanwhile);
  const { release, banner, buildId, symbols, types } = given;
  const kernel = { release, banner, buildId, symbols, types, space: new AddressSpace(counted, root, levels) };
  let rows = 0;
  const shown = <Row>(list: () => Listing<Row>, show: (listing: Listing<Row>) => string): readonly Row[] => {
    const listing = attempt(list);
    if (!listing) return [];
    rows += listing.rows.length;
    const text = show(listing);
    const bad = HARMFUL.exec(text);
    if (bad)
      throw new Error(`not harmless: ${JSON.stringify(text.slice(Math.max(0, bad.index - 20), bad.index + 20))}`);
    JSON.stringify(listing);
    return listing.rows;
  };
  const look = new Look(kernel);
  const processes = shown(
    () => listProcesses(look),
    (listing) => showTasks(listing, { tree: true, threads: true }),
  );
  for (const { at, mm } of processes.slice(0, 8)) {
    if (mm !== 0) shown(() => listMemoryAreas(look, mm, undefined), showMaps);
    shown(() => listOpenFiles(look, at, undefined), showOpenFiles);
    shown(() => listMounts(look, at), showMounts);
    const tree = attempt(() => new FileTree(look, at));
    if (!tree) continue;
    attempt(() => readUsers(look, tree));
    for (const path of ["/", "/file", "/link", "../file/..", "/nothing"]) {
      const found = attempt(() => tree.find(path));
      if (!found) continue;
      shown(() => tree.list(found), showDirectory);
      const file = attempt(() => readFile(look, found.inode.at, MOST_BYTES));
      if (file && file.bytes.length > MOST_BYTES) throw new Error("more bytes than were asked for");
    }
  }
  shown(() => listSockets(look, processes), showSockets);
  shown(() => listNetworkDevices(look), showNetworkDevices);
  shown(() => readKernelLog(look), showKernelLog);
  attempt(() => readNames(look));
  attempt(() => readClock(look));
  return { rows, reads: counted.reads };
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof VivError) return undefined;
    throw error;
  }
}

const ERAS: readonly Era[] = ["5.10", "6.1", "6.12"];

/** Changes words of a guest by chance. */
function mutate(guest: SyntheticGuest, random: Random, times: number): void {
  const view = new DataView(guest.ram.buffer);
  const words = guest.ram.length / 8;
  const used: number[] = [];
  for (let i = 0; i < words; i++) if (view.getUint32(i * 8, true) !== 0) used.push(i * 8);
  for (let left = times; left > 0; left--) {
    const at = random.pick(used);
    const from = random.pick(used);
    switch (random.below(6)) {
      case 0:
        view.setUint32(at, random.next(), true);
        break;
      case 1:
        view.setUint8(at + random.below(8), random.next() & 0xff);
        break;
      case 2:
        // Another's word: mostly a pointer to something of another kind.
        view.setBigUint64(at, view.getBigUint64(from, true), true);
        break;
      case 3:
        view.setBigUint64(at, 0n, true);
        break;
      case 4:
        view.setBigUint64(at, 0xffff_ffff_ffff_ffffn >> BigInt(random.below(64)), true);
        break;
      default:
        // A pointer to somewhere in RAM, near what it led to at times.
        view.setUint32(at, (view.getUint32(at, true) + (random.below(64) - 32) * 8) >>> 0, true);
    }
  }
}

const madeBy = (random: Random): SyntheticGuest => new SyntheticGuest(random.pick(ERAS), random.once(3) ? 5 : 4);

const KINDS: readonly FuzzKind[] = [
  ...[4, 20, 400].map((most) => ({
    name: `a guest with ${most} words changed at most`,
    run: (random: Random) => {
      const guest = madeBy(random);
      mutate(guest, random, 1 + random.below(most));
      return lookAround(guest).rows > 0;
    },
  })),
  {
    name: "a guest that changes while it is read",
    run: (random) => {
      const guest = madeBy(random);
      return lookAround(guest, () => random.once(200) && mutate(guest, random, 1)).rows > 0;
    },
  },
];

/** Guests that chance has made, looked around in. */
export const fuzzGuestInside = (options: FuzzOptions): FuzzResult => runCases(options, KINDS);

/**
 * What perf is told of a profile's guests and DSOs: numbers, names, build-ids and places, for records and files alike.
 *
 * Frames of the host have no place in a guest. They get addresses that no guest's code can have, in mappings of their own, so that they
 * stand in one stack with the guest's frames that caused them.
 */
import { dsoLongName, frameName, machinePid } from "../names.ts";
import { MODES, type Profile, type ProfileDso, type ProfileKernelMap } from "../profile.ts";
import { CONTEXT } from "./layout.ts";

/** Above all user addresses, with five levels of page tables too (2^56), and far below the kernel's half: not canonical. */
const HOST_START = 2 ** 56;
/** For each DSO of the host. */
const HOST_STEP = 2 ** 32;
/** What a double can tell apart there. */
const HOST_SYMBOL = 16;
const PAGE = 4096;

/** A function of the host, at an address in its DSO. */
export interface HostSymbol {
  readonly name: string;
  readonly start: number;
  readonly size: number;
}

const isHost = (dso: ProfileDso | undefined): boolean => dso?.kind === "host" || dso?.kind === "label";

export class Places {
  readonly profile: Profile;
  /** perf's number for each guest. */
  readonly machinePids: readonly number[];
  readonly vcpuCounts: readonly number[];
  /** Of each DSO, what it is called there, and its build-id: one that is made up where it has none, lest perf takes a file of the host. */
  readonly names: readonly string[];
  readonly buildIds: readonly string[];
  /** Of each frame, the address that perf sees, and what it lies in. */
  readonly addresses: Float64Array;
  readonly contexts: Int32Array;
  /** The functions of each DSO of the host. */
  readonly hostSymbols: ReadonlyMap<number, readonly HostSymbol[]>;
  /** Entries of a stack, with the marks between kernel and user. */
  readonly chainLengths: Int32Array;

  constructor(profile: Profile) {
    this.profile = profile;
    const { guests, dsos, info } = profile;
    this.machinePids = guests.map((_, guest) => machinePid(profile, guest));
    this.vcpuCounts = vcpuCounts(profile);
    this.names = dsos.map((dso) => dsoLongName(dso));
    const seed = `${info.startedAt} ${info.hostname}`;
    this.buildIds = dsos.map((dso) => dso.buildId ?? madeUpId(`${seed} ${dso.guest} ${dso.kind} ${dso.name}`));
    const hostSymbols = new Map<number, HostSymbol[]>();
    this.hostSymbols = hostSymbols;
    [this.addresses, this.contexts] = placeFrames(profile, hostSymbols);
    this.chainLengths = chainLengths(profile, this.contexts);
  }

  /** Where a DSO of the host lies, in every process. */
  hostMapping(dso: number): { readonly start: number; readonly length: number } | undefined {
    const symbols = this.hostSymbols.get(dso);
    if (symbols === undefined) return undefined;
    const last = symbols.at(-1)!;
    return { start: hostStart(dso), length: Math.ceil((last.start + last.size) / PAGE) * PAGE };
  }

  /** Text of a guest's kernel and of its modules, each once: perf knows one range of each. */
  kernelMaps(guest: number): readonly ProfileKernelMap[] {
    const { dsos, kernelMaps } = this.profile;
    const seen = new Set<number>();
    return kernelMaps.filter(({ dso }) => {
      const fits = dsos[dso]!.guest === guest && !seen.has(dso);
      seen.add(dso);
      return fits;
    });
  }
}

const hostStart = (dso: number): number => HOST_START + dso * HOST_STEP;

function vcpuCounts({ guests, tasks, samples }: Profile): number[] {
  const counts = guests.map(({ vcpuThreads }) => vcpuThreads.length);
  for (let i = 0; i < samples.vcpu.length; i++) {
    const { guest } = tasks[samples.task[i]!]!;
    if (samples.vcpu[i]! >= counts[guest]!) counts[guest] = samples.vcpu[i]! + 1;
  }
  return counts;
}

/** 160 bits of a text, FNV-1a five times: no secret, only not the same for two DSOs, nor that of any file. */
function madeUpId(text: string): string {
  let id = "";
  for (let lane = 0; lane < 5; lane++) {
    let sum = (0x811c_9dc5 + lane * 0x9e37_79b1) | 0;
    for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x0100_0193);
    sum = Math.imul(sum ^ (sum >>> 16), 0x85eb_ca6b);
    id += ((sum ^ (sum >>> 13)) >>> 0).toString(16).padStart(8, "0");
  }
  return id;
}

function placeFrames(profile: Profile, hostSymbols: Map<number, HostSymbol[]>): [Float64Array, Int32Array] {
  const { frames, dsos, symbols } = profile;
  const addresses = frames.address.slice();
  const contexts = new Int32Array(addresses.length);
  const placed = new Map<string, number>();
  for (let frame = 0; frame < addresses.length; frame++) {
    const dso = frames.dso[frame]!;
    if (isHost(dsos[dso])) {
      const name = frameName(profile, frame)!;
      const key = `${dso} ${name}`;
      let address = placed.get(key);
      if (address === undefined) {
        let list = hostSymbols.get(dso);
        if (list === undefined) hostSymbols.set(dso, (list = []));
        const start = list.length * HOST_SYMBOL;
        list.push({ name, start, size: HOST_SYMBOL });
        placed.set(key, (address = hostStart(dso) + start));
      }
      addresses[frame] = address;
      contexts[frame] = CONTEXT.user;
      continue;
    }
    const mode = MODES[frames.mode[frame]!];
    const kernel = mode === "guest.kernel" || (mode !== "guest.user" && addresses[frame]! < 0);
    contexts[frame] = kernel ? CONTEXT.kernel : CONTEXT.user;
    // The address behind a call that does not come back is the next function's: perf looks at addresses alone.
    const symbol = symbols[frames.symbol[frame]!];
    const beyond = symbol && symbol.size > 0 ? frames.offset[frame]! - (symbol.start + symbol.size) : -1;
    if (beyond === 0) addresses[frame]!--;
  }
  return [addresses, contexts];
}

function chainLengths({ stacks }: Profile, contexts: Int32Array): Int32Array {
  const lengths = new Int32Array(stacks.frame.length);
  for (let stack = 0; stack < lengths.length; stack++) {
    const caller = stacks.caller[stack]!;
    const same = caller >= 0 && contexts[stacks.frame[caller]!] === contexts[stacks.frame[stack]!];
    lengths[stack] = (caller < 0 ? 0 : lengths[caller]!) + (same ? 1 : 2);
  }
  return lengths;
}

/**
 * Makes a profile of raw samples: names the frames of each stack, in the kernel, its modules, the programs and their libraries, and hangs the
 * host's work for a guest below the guest's stack that caused it. Runs on the watcher's thread, beside the guest.
 */
import { gva, VivError } from "../../base/index.ts";
import { HOST_WORK, WORK } from "../../cpu/host-work.ts";
import { tryRead } from "../../guest/lists.ts";
import type { Look } from "../../guest/look.ts";
import { listProcesses, readTask, type Task } from "../../guest/tasks.ts";
import { decodeText } from "../../guest/text.ts";
import { type Chain, Unwinder } from "../../guest/unwind/unwinder.ts";
import { ProfileBuilder } from "../../perf/builder.ts";
import type { Mode, Profile, ProfileGuest, ProfileInfo } from "../../perf/profile.ts";
import { RING_SIZE, type SampleArea } from "../sampling/area.ts";
import { MOST_USER_STACK } from "../sampling/capture-code.ts";
import { SampleInRing, SamplePieces } from "../sampling/sample.ts";
import { CodeFiles, type DebugFiles, type MappedCode } from "./code-files.ts";
import type { GuestView } from "./guest-view.ts";
import { KernelCode, ProcessCode, waitingChain } from "./stacks.ts";
import { tellMachine } from "./tell-machine.ts";
import { workName } from "./work-names.ts";

const USER = 3;
/** Of a user stack at first; more is copied where that was not enough. */
const LEAST_USER_STACK = 4096;
/** A process maps something new: its areas are read again, but not more often than this. */
const AREAS_AGE_NS = 20e6;
/** How often it is tried to tell the machine what it has to know, before samples are taken without. */
const TELLS = 20;
/** Processes whose areas are kept, and frames: a guest that makes ever new ones has the others found again. */
const MAX_PROCESSES = 4096;
const MAX_FRAMES = 500_000;
/** Different details of one work, and room for each label. */
const MOST_DETAILS = 4096;
const LABEL_SIZE = 16;

interface KnownProcess {
  readonly code: ProcessCode;
  readonly read: number;
  readonly frames: Map<number, number>;
}

interface KnownTask {
  readonly pid: number;
  /** As the guest has it. */
  readonly name: Uint8Array;
  /** In the profile. */
  readonly task: number;
}

export interface RecorderOptions {
  readonly view: GuestView;
  readonly area: SampleArea;
  readonly guest: Omit<ProfileGuest, "hostname" | "kernelRelease" | "kernelBuildId">;
  /** Weight of a tick: nanoseconds. Absent: samples weigh the instructions since the last. */
  readonly tick: number | undefined;
  readonly debugFiles?: DebugFiles | undefined;
  /** Only where execution is, no callers. */
  readonly flat?: boolean;
}

export class Recorder {
  readonly #o: RecorderOptions;
  readonly #builder = new ProfileBuilder();
  readonly #guest: number;
  readonly #files: CodeFiles;
  /** By what tells them apart: page tables and number, or the address of mm_struct, which is below zero. */
  readonly #processes = new Map<number, KnownProcess>();
  readonly #kernelFrames = new Map<number, number>();
  /** Of what is no process's, or not known to be: its frames are numbers in this recorder's profile. */
  readonly #noProcess: KnownProcess = { code: NO_CODE, read: Number.POSITIVE_INFINITY, frames: new Map() };
  readonly #workStacks = new Map<number, number>();
  readonly #labels: number;
  #frames = 0;
  readonly #tasks = new Map<number, KnownTask>();
  readonly #sample: SampleInRing;
  readonly #words: SamplePieces;
  readonly #unwinder: Unwinder;
  /** Of the sample that is worked on. */
  #code: ProcessCode = NO_CODE;
  /** Up to here in the ring, processes are known. */
  #met: number;
  #kernel: KernelCode | undefined;
  #look: Look | undefined;
  #lookAt = Number.NEGATIVE_INFINITY;
  /** The machine's thread knows where the task that runs is to be found. */
  #told = false;
  #userStack = LEAST_USER_STACK;

  /** Throws VivError where the guest's kernel is not found; not for opaque guests, where nothing is looked for. */
  constructor(options: RecorderOptions) {
    this.#o = options;
    this.#files = new CodeFiles(options.debugFiles);
    const { view, area, guest } = options;
    this.#sample = new SampleInRing(area.view);
    this.#words = new SamplePieces(area.view);
    this.#unwinder = new Unwinder(
      { orc: (ip) => this.#kernel?.orc(ip), user: (ip) => this.#code.at(ip)?.code },
      this.#words,
    );
    this.#met = area.get("read");
    for (const word of ["taskPid", "taskTgid", "taskComm"] as const) area.set(word, 0);
    area.setAddress("currentTask", gva(0));
    area.setAddress("topOfStack", gva(0));
    area.set("userStack", guest.opaque || options.flat ? 0 : LEAST_USER_STACK);
    let claims: Partial<ProfileGuest> = {};
    if (!guest.opaque) {
      const kernel = view.kernel();
      this.#kernel = new KernelCode(kernel);
      for (let i = 0; i < TELLS && !this.#told; i++) this.#told = tellMachine(area, view);
      claims = { kernelRelease: kernel.release, ...(kernel.buildId && { kernelBuildId: kernel.buildId }) };
    }
    this.#guest = this.#builder.guest({ ...guest, ...claims });
    this.#labels = this.#builder.dso({ kind: "label", guest: -1, name: "[vivarium]" });
  }

  get sampleCount(): number {
    return this.#builder.sampleCount;
  }
  get files(): CodeFiles {
    return this.#files;
  }

  /** Too little room is left to wait for more samples. */
  get full(): boolean {
    return this.#o.area.waiting > RING_SIZE / 4;
  }

  /** Looks at processes that are new among those sampled, which may be gone before `take`, if that comes later. `now`: nanoseconds, of any clock. */
  meet(now: number): void {
    const { area } = this.#o;
    const sample = this.#sample;
    if (this.#o.guest.opaque) return;
    if (now - this.#lookAt > AREAS_AGE_NS) this.#lookAgain(now);
    this.#met = area.peek(this.#met, (at) => {
      sample.at = at;
      this.#processOf(sample, now);
    });
  }

  /** Takes what the machine's thread has written. */
  take(now: number): void {
    const { area } = this.#o;
    const sample = this.#sample;
    this.meet(now);
    area.drain((at) => {
      sample.at = at;
      this.#add(sample, now);
    });
  }

  /** All waiting tasks of the guest, each for as long as `weight`: what an off-CPU profile is made of. */
  takeWaiting(time: number, weight: number, now: number): void {
    const look = this.#lookAgain(now);
    const kernel = this.#kernel;
    if (!look || !kernel) return;
    for (const process of listProcesses(look).rows) {
      for (const task of process.threads) {
        if (!"SDI".includes(task.state)) continue;
        const chain = tryRead(() => waitingChain(look, kernel, this.#process(task, now).code, task));
        if (!chain) continue;
        const stack = this.#stackOf(chain, this.#process(task, now), task.pid);
        const row = { guest: this.#guest, pid: task.pid, tid: task.tid, comm: task.comm };
        this.#builder.sample({ time, stack, task: this.#builder.task(row), vcpu: task.cpu, mode: "idle", weight });
      }
    }
  }

  /** The profile of all that was taken; the recorder is done with. */
  finish(info: ProfileInfo): Profile {
    return this.#builder.build(info);
  }

  #lookAgain(now: number): Look | undefined {
    this.#lookAt = now;
    if (this.#o.guest.opaque) return undefined;
    try {
      const look = this.#o.view.look();
      if (look.kernel !== this.#kernel?.kernel) {
        this.#kernel = new KernelCode(this.#o.view.kernel());
        this.#kernelFrames.clear();
        this.#processes.clear();
        this.#told = false;
      }
      if (!this.#told) this.#told = tellMachine(this.#o.area, this.#o.view);
      this.#look = look;
    } catch (error) {
      // It boots another kernel right now: what comes until that is found has addresses alone.
      if (!(error instanceof VivError)) throw error;
      this.#look = undefined;
    }
    return this.#look;
  }

  #add(sample: SampleInRing, now: number): void {
    const { area, tick } = this.#o;
    const user = sample.get("cpl") === USER;
    const process = this.#processOf(sample, now);
    const chain = this.#chain(sample, process, user);
    let stack = this.#stackOf(chain, process, sample.get("hasTask") !== 0 ? sample.get("tgid") : 0);
    let mode: Mode = user ? "guest.user" : "guest.kernel";
    const work = sample.get("work");
    if (work !== WORK.guest) {
      stack = this.#workStack(stack, work, sample.get("detail"));
      mode = "host";
    }
    this.#builder.sample({
      time: sample.get("time") - area.number("begunAt"),
      stack,
      task: this.#taskOf(sample),
      vcpu: sample.get("vcpu"),
      mode,
      weight: sample.get("weight") * (tick ?? 1),
    });
  }

  /** The task's number in the profile: as a rule what it was when it was sampled last. */
  #taskOf(sample: SampleInRing): number {
    const [pid, tid] = [sample.get("tgid"), sample.get("pid")];
    if (sample.get("hasTask") === 0) return this.#builder.task({ guest: this.#guest, pid: 0, tid: 0, comm: "" });
    const known = this.#tasks.get(tid);
    if (known && known.pid === pid && sample.isNamed(known.name)) return known.task;
    const name = sample.get("comm");
    const task = this.#builder.task({ guest: this.#guest, pid, tid, comm: decodeText(textOf(name)) });
    if (this.#tasks.size >= MAX_PROCESSES) this.#tasks.clear();
    this.#tasks.set(tid, { pid, name, task });
    return task;
  }

  #chain(sample: SampleInRing, process: KnownProcess, user: boolean): Chain {
    const rip = sample.get("rip");
    if (!this.#kernel || sample.get("codeBits") !== 64 || this.#o.flat) {
      return { ips: [rip], places: [rip], kernel: user ? 0 : 1 };
    }
    const words = this.#words;
    words.move(sample.at, sample.get("pieces"));
    this.#code = process.code;
    const chain = this.#unwinder.unwind({ ip: rip, gpr: sample.gpr(), user });
    if (chain.truncated === "unreadable" && words.ranOut && this.#userStack < MOST_USER_STACK) {
      this.#userStack *= 2;
      this.#o.area.set("userStack", this.#userStack);
    }
    return chain;
  }

  /** The stack in the profile, outermost call first. */
  #stackOf(chain: Chain, process: KnownProcess, pid: number): number {
    let stack = -1;
    for (let i = chain.ips.length - 1; i >= 0; i--) {
      const inKernel = i < chain.kernel;
      const ip = chain.ips[i]!;
      const frames = inKernel ? this.#kernelFrames : process.frames;
      let frame = frames.get(ip);
      if (frame === undefined) {
        if (this.#frames >= MAX_FRAMES) this.#forget();
        this.#frames++;
        const place = chain.places[i]!;
        frame = inKernel ? this.#kernelFrame(ip, place) : this.#userFrame(ip, place, process, pid);
        frames.set(ip, frame);
      }
      stack = this.#builder.stack(stack, frame);
    }
    return stack;
  }

  #forget(): void {
    this.#kernelFrames.clear();
    this.#processes.clear();
    this.#noProcess.frames.clear();
    this.#frames = 0;
  }

  #kernelFrame(ip: number, place: number): number {
    const found = this.#kernel?.kernel.symbols.find(gva(place));
    const builder = this.#builder;
    if (!found) return builder.frame({ address: ip, offset: ip, dso: -1, symbol: -1, mode: "guest.kernel" });
    const guest = this.#guest;
    const dso = found.module
      ? builder.dso({ kind: "module", guest, name: `[${found.module}]` })
      : builder.dso({ kind: "kernel", guest, name: "[kernel.kallsyms]", ...buildIdOf(this.#kernel?.kernel.buildId) });
    this.#kernelMap(dso, found.module);
    const size = found.end === undefined ? 0 : found.end - found.start;
    const symbol = builder.symbol({ name: found.name, dso, start: found.start, size });
    return builder.frame({ address: ip, offset: ip, dso, symbol, mode: "guest.kernel" });
  }

  #kernelMap(dso: number, name: string | undefined): void {
    const { kernel } = this.#kernel!;
    const module = name === undefined ? undefined : kernel.modules.find((one) => one.name === name);
    const text = name === undefined ? kernel.symbols.text : module?.text[0];
    if (text) this.#builder.kernelMap({ dso, start: text.start, length: text.end - text.start });
  }

  #userFrame(ip: number, place: number, process: KnownProcess, pid: number): number {
    const builder = this.#builder;
    const mapped = process.code.at(place);
    if (!mapped) return builder.frame({ address: ip, offset: ip, dso: -1, symbol: -1, mode: "guest.user" });
    const { file, bias } = mapped;
    const dso = builder.dso({ kind: file.kind, guest: this.#guest, name: file.name, ...buildIdOf(file.buildId) });
    this.#mapping(mapped, dso, pid);
    const found = file.symbols?.find(place - bias);
    const symbol = found
      ? builder.symbol({ name: decodeText(found.name), dso, start: found.start, size: found.size })
      : -1;
    return builder.frame({ address: ip, offset: ip - bias, dso, symbol, mode: "guest.user" });
  }

  #mapping({ start, end, pageOffset, protection }: MappedCode, dso: number, pid: number): void {
    this.#builder.mapping({ guest: this.#guest, pid, start, length: end - start, pageOffset, dso, protection });
  }

  #workStack(caller: number, work: number, detail: number): number {
    const name = workName(HOST_WORK[work] ?? "loop", detail, this.#o.area.devices);
    // Labels have no addresses; what is told apart by them has to have different ones, the same in each guest.
    const start = (work * MOST_DETAILS + Math.min(detail, MOST_DETAILS - 1)) * LABEL_SIZE;
    const symbol = this.#builder.symbol({ name, dso: this.#labels, start, size: LABEL_SIZE });
    let frame = this.#workStacks.get(symbol);
    if (frame === undefined) {
      frame = this.#builder.frame({ address: 0, offset: start, dso: this.#labels, symbol, mode: "host" });
      this.#workStacks.set(symbol, frame);
    }
    return this.#builder.stack(caller, frame);
  }

  #processOf(sample: SampleInRing, now: number): KnownProcess {
    const look = this.#look;
    if (!look || sample.get("hasTask") === 0) return this.#noProcess;
    // No two processes that are there at a time have both in common; below 8 GiB of RAM, no two keys either.
    const key = Math.floor(sample.get("cr3") / 4096) * 2 ** 32 + sample.get("tgid");
    const known = this.#processes.get(key);
    const isUser = sample.get("cpl") === USER;
    if (known && (!isUser || known.code.at(sample.get("rip")) || now - known.read < AREAS_AGE_NS)) return known;
    const task = tryRead(() => readTask(look, gva(sample.get("task"))));
    const code = task && tryRead(() => ProcessCode.of(look, this.#files, task.at, task.mm));
    return this.#keep(key, code ?? known?.code ?? NO_CODE, now, known);
  }
  #process(task: Task, now: number): KnownProcess {
    const look = this.#look;
    if (!look || task.mm === 0) return this.#noProcess;
    const key: number = task.mm;
    const known = this.#processes.get(key);
    // A process that waits maps nothing new, but another may have come in its place.
    if (known && now - known.read < AREAS_AGE_NS * 50) return known;
    const code = tryRead(() => ProcessCode.of(look, this.#files, task.at, task.mm));
    return this.#keep(key, code ?? NO_CODE, now, known);
  }
  #keep(key: number, code: ProcessCode, now: number, before: KnownProcess | undefined): KnownProcess {
    if (this.#processes.size >= MAX_PROCESSES) this.#processes.clear();
    // What had no name may have one now.
    const process = {
      code,
      read: now,
      frames: before && code === before.code ? before.frames : new Map<number, number>(),
    };
    this.#processes.set(key, process);
    return process;
  }
}

const NO_CODE = new ProcessCode([]);

const buildIdOf = (buildId: string | undefined) => (buildId === undefined ? {} : { buildId });

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return String.fromCharCode(...(end < 0 ? bytes : bytes.subarray(0, end)));
}

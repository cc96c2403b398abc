/**
 * This process's guests in the registry. A guest that nobody looks at costs two files, a descriptor, and some modules in memory.
 */
import { randomBytes, randomInt } from "node:crypto";
import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { VivError } from "../../../base/index.ts";
import type { GuestObserver } from "../../../vmm/observer/orders.ts";
import { ENTRY_VERSION, type GuestEntry, MAX_CLAIM } from "../../../vmm/registry/guest.ts";
import type { ControlledGuest } from "../../../vmm/registry/guest-control.ts";
import { checkName, madeUpName } from "../../../vmm/registry/names.ts";
import type { ServerConnection } from "../../../vmm/registry/server.ts";
import type { VirtualMachine } from "../../../vmm/virtual-machine.ts";
import { processStart, threadTime } from "../cpu-time.ts";
import { openRegistry, type Surroundings, surroundings } from "./directory.ts";
import { isDead, linkEntry, readEntry, socketPath, sweep, unlinkEntry } from "./entries.ts";

/** Connections to one guest at a time: stops a client from taking all the process's descriptors. */
const MAX_CONNECTIONS = 128;
/** How long those who are connected when the guest ends are waited for, to be told. */
const FAREWELL_MS = 500;
/** Names that are made up and taken, one after the other, before another kind of name is. */
const ATTEMPTS = 40;

/**
 * What answers is loaded so long after the guest is up, once, if nobody has connected before: that takes some milliseconds, which fifty
 * guests would all take while `viv ps` waits.
 */
const LOAD_AFTER_MS = 1_000;

const ID_BYTES = 6;

export type ListedGuest = Pick<GuestEntry, "vcpus" | "memory" | "accelerator" | "opaque">;

/** Entries of this process, for its end: a guest is gone then, and nobody shall have to find out. */
const open = new Set<Listing>();
const removeAll = (): void => {
  for (const listing of open) listing.remove();
};

interface Controls {
  accept(socket: Socket): void;
}

export class Listing {
  readonly entry: GuestEntry;
  readonly #directory: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #connections = new Set<ServerConnection>();
  #startedAt = Number.NaN;
  /** What the machine's thread took to load. */
  #cpuBefore = 0;
  #vm: VirtualMachine | undefined;
  #observer!: () => Promise<GuestObserver>;
  #machine!: { resolve: (vm: VirtualMachine) => void; reject: (error: unknown) => void };
  readonly #hasMachine: Promise<VirtualMachine>;
  #controls: Promise<Controls> | undefined;
  #closed: Promise<void> | undefined;
  #loading: NodeJS.Timeout | undefined;
  #onIdle: () => void = () => undefined;

  constructor(directory: string, entry: GuestEntry, server: Server) {
    this.#directory = directory;
    this.entry = entry;
    this.#server = server;
    this.#hasMachine = new Promise((resolve, reject) => {
      this.#machine = { resolve, reject };
    });
    this.#hasMachine.catch(() => undefined);
    server.on("connection", (socket) => this.#serve(socket));
    if (open.size === 0) process.on("exit", removeAll);
    open.add(this);
  }

  /** The guest's machine runs: from now on all is answered. The listing ends with it. */
  run(vm: VirtualMachine, observer: () => Promise<GuestObserver>): void {
    this.#vm = vm;
    this.#observer = observer;
    this.#startedAt = performance.now();
    this.#cpuBefore = threadTimeOf(vm) ?? 0;
    this.#machine.resolve(vm);
    const end = (): void => void this.close();
    vm.wait().then(end, end);
    const load = (): void => {
      if (!this.#closed) this.#loading = setTimeout(() => void this.#answers(), LOAD_AFTER_MS).unref();
    };
    // Where it has no agent, at once.
    vm.ready.then(load, load);
  }

  /** Takes the guest out of the registry; settles when those who are connected have been told, or will not listen. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.remove();
    this.#machine.reject(new VivError("guest.gone", "the guest did not come to run"));
    this.#server.close();
    const idle = (): boolean => [...this.#connections].every((connection) => connection.idle);
    if (!idle()) {
      const served = new Promise<void>((resolve) => {
        this.#onIdle = () => {
          if (idle()) resolve();
        };
      });
      await Promise.race([served, delay(FAREWELL_MS, undefined, { ref: false })]);
    }
    await Promise.race([Promise.all([...this.#sockets].map(farewell)), delay(FAREWELL_MS, undefined, { ref: false })]);
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Takes it out of the registry at once. */
  remove(): void {
    if (!open.delete(this)) return;
    clearTimeout(this.#loading);
    if (open.size === 0) process.off("exit", removeAll);
    unlinkEntry(this.#directory, this.entry);
  }

  #serve(socket: Socket): void {
    if (this.#sockets.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => undefined);
    this.#answers().then(
      ({ accept }) => accept(socket),
      () => socket.destroy(),
    );
  }

  #answers(): Promise<Controls> {
    this.#controls ??= this.#load();
    // A guest does not end because its monitor's files are gone.
    this.#controls.catch(() => undefined);
    return this.#controls;
  }

  async #load(): Promise<Controls> {
    const [{ GuestControls, ServerConnection }, { CONTROL }, { join, portOf }] = await Promise.all([
      import("../../../vmm/registry/server.ts"),
      import("../../../vmm/registry/requests.ts"),
      import("./socket.ts"),
    ]);
    let guest: ControlledGuest | undefined;
    const cpuTime = (): number | undefined => {
      const time = this.#vm && threadTimeOf(this.#vm);
      return time === undefined ? undefined : time - this.#cpuBefore;
    };
    const enterRooms = async (): Promise<void> => {
      const [vm, { CONTROL_ROOMS }] = await Promise.all([this.#hasMachine, import("./rooms.ts")]);
      guest = {
        entry: this.entry,
        vm,
        cpuTime,
        delay: (ms) => delay(ms, undefined, { ref: false }),
        now: () => performance.now(),
        observer: this.#observer,
      };
      for (const enter of CONTROL_ROOMS) enter(guest, controls);
    };
    let entered: Promise<void> | undefined;
    const complete = (): Promise<void> => {
      entered ??= enterRooms();
      entered.catch(() => undefined);
      return entered;
    };
    const controls = new GuestControls(complete);
    controls.handle(CONTROL.info, () => {
      // Who knows what the guest claims is among the rooms: the next to ask is told.
      if (this.#vm) setImmediate(() => void complete());
      const { hostname, kernel } = guest?.claims?.() ?? {};
      return {
        state: this.#vm?.state ?? "booting",
        uptime: this.#vm ? performance.now() - this.#startedAt : 0,
        cpuTime: cpuTime(),
        hostname: hostname?.slice(0, MAX_CLAIM),
        kernel: kernel?.slice(0, MAX_CLAIM),
      };
    });
    return {
      accept: (socket) => {
        const connection = new ServerConnection(portOf(socket, true), controls, () => this.#onIdle());
        this.#connections.add(connection);
        socket.on("close", () => this.#connections.delete(connection));
        join(socket, connection);
      },
    };
  }
}

const threadTimeOf = ({ threadId }: VirtualMachine): number | undefined =>
  threadId === undefined ? undefined : threadTime(threadId);

const farewell = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) resolve();
    socket.once("close", () => resolve());
    socket.end(() => resolve());
  });

/**
 * Puts a guest of this process into the registry, by its name or one that is made up. Throws VivError: `guest.name-taken`, `config.name`,
 * and `registry.…` where there is no place for it.
 */
export async function list(
  guest: ListedGuest,
  name: string | undefined,
  where: Surroundings = surroundings(),
): Promise<Listing> {
  if (name !== undefined) checkName(name);
  const directory = openRegistry(true, where)!;
  const id = randomBytes(ID_BYTES).toString("hex");
  const path = socketPath(directory, id);
  // First the socket, then the name: who finds the name finds somebody listening.
  const server = await listen(path);
  try {
    for (let attempt = 0; ; attempt++) {
      const entry: GuestEntry = {
        version: ENTRY_VERSION,
        name: name ?? (attempt < ATTEMPTS ? madeUpName(randomInt) : `${madeUpName(randomInt)}-${id}`),
        id,
        pid: process.pid,
        pidStart: processStart(process.pid),
        created: Date.now(),
        ...guest,
      };
      if (await claim(directory, entry)) return new Listing(directory, entry, server);
      if (name === undefined) continue;
      const message = `there is a guest called ${name} already: choose another --name, or end that one with viv stop ${name}`;
      throw new VivError("guest.name-taken", message);
    }
  } catch (error) {
    server.close();
    rmSync(path, { force: true });
    throw error;
  }
}

async function claim(directory: string, entry: GuestEntry): Promise<boolean> {
  for (;;) {
    if (linkEntry(directory, entry)) return true;
    const holder = readEntry(directory, entry.name);
    // Gone meanwhile: once more. A file that is no entry is nobody's to take away.
    if (!holder) {
      if (linkEntry(directory, entry)) return true;
      return false;
    }
    if (!(await isDead(socketPath(directory, holder.entry.id)))) return false;
    await sweep(directory, holder);
  }
}

const listen = (path: string): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (cause) =>
      reject(
        new VivError("registry.not-writable", `${path}: no socket can be made there (${cause.message})`, { cause }),
      ),
    );
    server.listen(path, () => {
      chmodSync(path, 0o600);
      resolve(server);
    });
    // The guest keeps its process alive, not its name.
    server.unref();
  });

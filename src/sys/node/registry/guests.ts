/** The guests of this user, whichever process runs them. */
import { connect, type Socket } from "node:net";
import { VivError } from "../../../base/index.ts";
import { ClientConnection } from "../../../vmm/registry/client.ts";
import type { GuestEntry, GuestInfo, GuestRow } from "../../../vmm/registry/guest.ts";
import { RemoteVm } from "../../../vmm/registry/remote-vm.ts";
import { CONTROL } from "../../../vmm/registry/requests.ts";
import { openRegistry, type Surroundings } from "./directory.ts";
import { isRefusal, readEntries, readEntry, type StoredEntry, socketPath, sweep, sweepOrphans } from "./entries.ts";
import { join, portOf } from "./socket.ts";

/** A guest's process that has not answered by then is listed as such. Its main thread has little to do, and answers in some milliseconds. */
const DEADLINE_MS = 500;

/** Whoever wants something of one guest waits longer for its process to answer. */
const CONNECT_DEADLINE_MS = 5_000;

/** All of this user's guests, by name. Guests whose process is gone are taken out of the registry. */
export async function listGuests(where?: Surroundings): Promise<readonly GuestRow[]> {
  const directory = openRegistry(false, where);
  if (directory === undefined) return [];
  const entries = readEntries(directory);
  const rows = await Promise.all(entries.map((stored) => rowOf(directory, stored)));
  await sweepOrphans(directory, entries);
  return rows.filter((row) => row !== undefined);
}

/** Undefined: it is no more. */
async function rowOf(directory: string, stored: StoredEntry): Promise<GuestRow | undefined> {
  const { version: _version, pidStart: _start, ...entry } = stored.entry;
  try {
    return { ...entry, ...(await askInfo(directory, stored.entry)) };
  } catch (error) {
    const code = error instanceof VivError ? error.code : undefined;
    if (code === KILLED) {
      await sweep(directory, stored);
      return undefined;
    }
    // It ended while it was asked, and has taken its entry away.
    if (code === "guest.gone" && readEntry(directory, entry.name)?.inode !== stored.inode) return undefined;
    return { ...entry, state: "unresponsive", uptime: Date.now() - entry.created };
  }
}

async function askInfo(directory: string, entry: GuestEntry): Promise<GuestInfo> {
  const connection = await open(directory, entry);
  try {
    return await before(DEADLINE_MS, entry, connection.request(CONTROL.info, {}).answer);
  } finally {
    connection.close();
  }
}

/** What the promise gives, or VivError `guest.unresponsive` after that many milliseconds. */
async function before<T>(milliseconds: number, { name, pid }: GuestEntry, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `guest ${name} does not answer (its process is ${pid}): viv kill ${name} ends it`;
    timer = setTimeout(() => reject(new VivError("guest.unresponsive", message)), milliseconds);
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A connection to a guest's process. Throws VivError `guest.killed` where there is none. */
async function open(directory: string, entry: GuestEntry): Promise<ClientConnection> {
  // To a local socket: there is somebody listening or there is not, and nothing to wait for.
  const socket = await new Promise<Socket>((resolve, reject) => {
    const socket = connect(socketPath(directory, entry.id), () => resolve(socket));
    socket.once("error", (cause) => reject(refusal(entry, cause)));
  });
  const connection = new ClientConnection(portOf(socket, false));
  connection.answered.catch(() => undefined);
  join(socket, connection);
  return connection;
}

const KILLED = "guest.killed";

const refusal = ({ name }: GuestEntry, cause: Error): VivError =>
  isRefusal(cause)
    ? new VivError(KILLED, `the process of guest ${name} is gone`, { cause })
    : new VivError("guest.unreachable", `guest ${name} cannot be reached: ${cause.message}`, { cause });

/** The guest of that name, or whose id begins so. Throws VivError `guest.unknown`, `guest.ambiguous`. */
function find(directory: string | undefined, name: string): StoredEntry {
  const entries = directory === undefined ? [] : readEntries(directory);
  const exact = entries.find(({ entry }) => entry.name === name);
  const some = exact ? [exact] : name === "" ? [] : entries.filter(({ entry }) => entry.id.startsWith(name));
  if (some.length > 1) {
    const names = some.map(({ entry }) => entry.name).join(", ");
    throw new VivError("guest.ambiguous", `the ids of ${names} begin with ${name}: give more of it, or a name`);
  }
  const [stored] = some;
  if (stored) return stored;
  throw new VivError("guest.unknown", `you have no guest called ${JSON.stringify(name)}: viv ps lists them`);
}

/** The entry of a guest, without a word with its process. Throws VivError `guest.unknown`. */
export const findGuest = (name: string, where?: Surroundings): GuestEntry =>
  find(openRegistry(false, where), name).entry;

/** Connects to a guest. Throws VivError `guest.unknown`, or `guest.unresponsive` where its process does not answer. */
export async function connectGuest(name: string, where?: Surroundings): Promise<RemoteVm> {
  const directory = openRegistry(false, where);
  const stored = find(directory, name);
  const { entry } = stored;
  let connection: ClientConnection;
  try {
    connection = await open(directory!, entry);
  } catch (error) {
    if (!(error instanceof VivError && error.code === KILLED)) throw error;
    await sweep(directory!, stored);
    throw new VivError("guest.unknown", `guest ${entry.name} is no more: its process was killed`, { cause: error });
  }
  try {
    await before(CONNECT_DEADLINE_MS, entry, connection.answered);
  } catch (error) {
    connection.close();
    throw error;
  }
  return new RemoteVm(entry, connection);
}

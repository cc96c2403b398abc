/**
 * Sockets (include/net/sock.h): those that processes hold open, found by their descriptors, and those of TCP and UDP in
 * the kernel's hash tables, which no process may hold any more (TIME_WAIT) or not yet. As /proc/net/tcp, udp, unix, and
 * `ss`.
 */
import { type Gva, gva } from "../base/index.ts";
import { Budget, isGuestFault, type Listing, readEach, readListing, TooMany, walkHashChain } from "./lists.ts";
import type { Look } from "./look.ts";
import { MOST_DESCRIPTORS, walkDescriptors } from "./open-files.ts";
import { SOCKFS_MAGIC } from "./paths.ts";
import type { Process } from "./tasks.ts";

/** Sockets, and buckets that hold none: tables have up to 2^19 buckets (thash_entries). */
const MOST_SOCKETS = 2 ** 20;
/** sizeof(struct sockaddr_un) */
const LONGEST_UNIX_ADDRESS = 110;

/** TCP's states, also of other stream sockets (include/net/tcp_states.h), by number. */
const TCP_STATES = [
  "",
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
  "NEW_SYN_RECV",
  "BOUND_INACTIVE",
] as const;
/** States whose sockets are not a whole struct sock. */
const TIME_WAIT = 6;
const NEW_SYN_RECV = 12;

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
/** Address families (include/linux/socket.h) that are more than their number here. */
const FAMILIES: Readonly<Record<number, string>> = {
  [AF_UNIX]: "unix",
  [AF_INET]: "inet",
  [AF_INET6]: "inet6",
  16: "netlink",
  17: "packet",
  40: "vsock",
};
/** Protocols of the inet families (include/uapi/linux/in.h). */
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: "icmp",
  6: "tcp",
  17: "udp",
  58: "icmpv6",
  132: "sctp",
  136: "udplite",
  255: "raw",
};
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const TYPES = ["", "stream", "dgram", "raw", "rdm", "seqpacket", "dccp", "", "", "", "packet"] as const;

export interface Socket {
  /** Of its struct sock. */
  readonly at: Gva;
  readonly family: string;
  /** `tcp`, `udp`, …; of other families their type: `stream`, `dgram`. */
  readonly protocol: string;
  readonly state: string;
  /** Address, or a path; abstract names begin with @. */
  readonly local: string;
  readonly localPort: number;
  readonly remote: string;
  readonly remotePort: number;
  /** Number as in `socket:[…]`; 0: no process holds it. */
  readonly inode: number;
  /** Processes that hold it. */
  readonly pids: readonly number[];
}

interface Owner {
  inode: number;
  readonly pids: Set<number>;
}

/**
 * The sockets of all network namespaces. `processes`: whose descriptors are looked through. Throws VivError for want of
 * types or symbols.
 */
export function listSockets(look: Look, processes: readonly Process[]): Listing<Socket> {
  return readListing((rows, gaps) => {
    const owners = socketOwners(look, processes, gaps);
    const all = new Set<Gva>(owners.keys());
    for (const table of [tcpSockets, udpSockets]) {
      try {
        const budget = new Budget(MOST_SOCKETS);
        for (const at of table(look, budget)) all.add(at);
      } catch (error) {
        if (!isGuestFault(error)) throw error;
        gaps.push(`a table of sockets was cut: ${error.message}`);
      }
    }
    readEach(all, (at) => readSocket(look, at, owners.get(at)), rows, gaps, "sockets");
  });
}

/** Which processes hold which sock. */
function socketOwners(look: Look, processes: readonly Process[], gaps: string[]): Map<Gva, Owner> {
  const { space } = look;
  const F = look.offsets("sockets", "file", "f_inode", "private_data");
  const I = look.offsets("sockets", "inode", "i_sb", "i_ino");
  const { s_magic } = look.offsets("sockets", "super_block", "s_magic");
  const S = look.offsets("sockets", "socket", "file", "sk");
  const owners = new Map<Gva, Owner>();
  const budget = new Budget(MOST_DESCRIPTORS);
  let lost = 0;
  for (const { at, pid } of processes) {
    try {
      for (const { at: file } of walkDescriptors(look, at, budget)) {
        const inode = space.pointer(file, F.f_inode);
        if (space.u64(space.pointer(inode, I.i_sb), s_magic) !== SOCKFS_MAGIC) continue;
        const socket = space.pointer(file, F.private_data);
        const sock = space.pointer(socket, S.sk);
        if (sock === 0 || space.pointer(socket, S.file) !== file) continue;
        let owner = owners.get(sock);
        if (!owner) {
          owner = { inode: space.u64(inode, I.i_ino), pids: new Set() };
          owners.set(sock, owner);
        }
        owner.pids.add(pid);
      }
    } catch (error) {
      if (!isGuestFault(error) || error instanceof TooMany) throw error;
      lost++;
    }
  }
  if (lost > 0) gaps.push(`open files of ${lost} processes changed while they were read`);
  return owners;
}

/** The listening ones, then the others, as in /proc/net/tcp. */
function* tcpSockets(look: Look, budget: Budget): Generator<Gva, void> {
  const { space } = look;
  const what = "sockets of TCP";
  const table = look.symbol("tcp_hashinfo");
  if (table === undefined) return;
  const T = look.offsets(what, "inet_hashinfo", "ehash", "ehash_mask", "lhash2", "lhash2_mask");
  const { nulls_head } = look.offsets(what, "inet_listen_hashbucket", "nulls_head");
  const { chain } = look.offsets(what, "inet_ehash_bucket", "chain");
  const { skc_nulls_node } = look.offsets(what, "sock_common", "skc_nulls_node");
  const tables = [
    { at: T.lhash2, mask: T.lhash2_mask, size: look.sizeOf(what, "inet_listen_hashbucket"), head: nulls_head },
    { at: T.ehash, mask: T.ehash_mask, size: look.sizeOf(what, "inet_ehash_bucket"), head: chain },
  ];
  for (const { at, mask, size, head } of tables) {
    const buckets = space.pointer(table, at);
    const last = space.u32(table, mask);
    for (let i = 0; i <= last; i++) {
      budget.spend();
      for (const node of walkHashChain(space, gva(buckets + i * size + head), budget)) yield gva(node - skc_nulls_node);
    }
  }
}

function* udpSockets(look: Look, budget: Budget): Generator<Gva, void> {
  const { space } = look;
  const what = "sockets of UDP";
  const table = look.symbol("udp_table");
  if (table === undefined) return;
  const T = look.offsets(what, "udp_table", "hash", "mask");
  const { head } = look.offsets(what, "udp_hslot", "head");
  const { skc_node } = look.offsets(what, "sock_common", "skc_node");
  const size = look.sizeOf(what, "udp_hslot");
  const slots = space.pointer(table, T.hash);
  const last = space.u32(table, T.mask);
  for (let i = 0; i <= last; i++) {
    budget.spend();
    for (const node of walkHashChain(space, gva(slots + i * size + head), budget)) yield gva(node - skc_node);
  }
}

function readSocket(look: Look, at: Gva, owner: Owner | undefined): Socket {
  const { space } = look;
  const C = look.offsets("sockets", "sock_common", "skc_family", "skc_state", "skc_num", "skc_dport");
  const family = space.u16(at, C.skc_family);
  const state = space.u8(at, C.skc_state);
  const partial = state === TIME_WAIT || state === NEW_SYN_RECV;
  const K = look.offsets("sockets", "sock", "sk_protocol", "sk_type");
  const inet = family === AF_INET || family === AF_INET6;
  const type = partial ? 1 : space.u16(at, K.sk_type);
  const number = partial ? IPPROTO_TCP : space.u16(at, K.sk_protocol);
  const port = space.u16(at, C.skc_dport);
  // Raw and packet sockets keep a protocol where the others have their port.
  const ports = inet && (number === IPPROTO_TCP || number === IPPROTO_UDP);
  return {
    at,
    family: FAMILIES[family] ?? `family ${family}`,
    protocol: inet ? (PROTOCOLS[number] ?? `protocol ${number}`) : (TYPES[type] ?? `type ${type}`),
    state: TCP_STATES[state] ?? `state ${state}`,
    ...addresses(look, at, family),
    localPort: ports ? space.u16(at, C.skc_num) : 0,
    // In network order.
    remotePort: ports ? ((port & 0xff) << 8) | (port >> 8) : 0,
    inode: owner?.inode ?? 0,
    pids: [...(owner?.pids ?? [])],
  };
}

function addresses(look: Look, at: Gva, family: number): { local: string; remote: string } {
  const { space } = look;
  if (family === AF_INET) {
    const C = look.offsets("sockets", "sock_common", "skc_rcv_saddr", "skc_daddr");
    return { local: ipv4(space.bytes(at, 4, C.skc_rcv_saddr)), remote: ipv4(space.bytes(at, 4, C.skc_daddr)) };
  }
  if (family === AF_INET6) {
    const local = look.optional("sock_common", "skc_v6_rcv_saddr");
    const remote = look.optional("sock_common", "skc_v6_daddr");
    if (local === undefined || remote === undefined) return { local: "", remote: "" };
    return { local: ipv6(space.bytes(at, 16, local)), remote: ipv6(space.bytes(at, 16, remote)) };
  }
  if (family !== AF_UNIX) return { local: "", remote: "" };
  const { addr, peer } = look.offsets("sockets", "unix_sock", "addr", "peer");
  const own = unixAddress(look, space.pointer(at, addr));
  const other = space.pointer(at, peer);
  return { local: own, remote: other === 0 ? "" : unixAddress(look, space.pointer(other, addr)) };
}

function unixAddress(look: Look, address: Gva): string {
  if (address === 0) return "";
  const A = look.offsets("sockets", "unix_address", "len", "name");
  const length = look.space.u32(address, A.len);
  if (length < 2 || length > LONGEST_UNIX_ADDRESS) return "";
  // Behind the family.
  const text = look.bytesAsText(address, length - 2, A.name + 2);
  return text.startsWith("\0") ? `@${text.slice(1)}` : text.split("\0")[0]!;
}

export const ipv4 = (bytes: Uint8Array): string => bytes.join(".");

/** As RFC 5952 has it. */
export function ipv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[i * 2]! << 8) | bytes[i * 2 + 1]!).toString(16));
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  const mapped = best.start === 0 && best.length === 5 && groups[5] === "ffff";
  if (mapped) return `::ffff:${ipv4(bytes.subarray(12))}`;
  if (best.length < 2) return groups.join(":");
  return `${groups.slice(0, best.start).join(":")}::${groups.slice(best.start + best.length).join(":")}`;
}

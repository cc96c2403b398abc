/**
 * Network devices of the first network namespace (include/linux/netdevice.h), as `ip address` shows them, without IPv6
 * addresses.
 */
import { type Gva, gva } from "../base/index.ts";
import { Budget, type Listing, readListing, walkList } from "./lists.ts";
import type { Look } from "./look.ts";
import { ipv4 } from "./sockets.ts";

const MOST_DEVICES = 2 ** 16;
const MOST_ADDRESSES = 2 ** 16;
/** IFNAMSIZ, MAX_ADDR_LEN */
const NAME_LENGTH = 16;
const LONGEST_ADDRESS = 32;

/** Flags of a device that matter (include/uapi/linux/if.h). */
const DEVICE_FLAGS = [
  { bit: 0x1, name: "up" },
  { bit: 0x2, name: "broadcast" },
  { bit: 0x8, name: "loopback" },
  { bit: 0x10, name: "point-to-point" },
  { bit: 0x80, name: "noarp" },
  { bit: 0x100, name: "promiscuous" },
  { bit: 0x1000, name: "multicast" },
] as const;

export interface NetworkDevice {
  readonly index: number;
  readonly name: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  /** Hardware address, with colons. */
  readonly address: string;
  /** With the length of their prefix: `127.0.0.1/8`. */
  readonly ipv4: readonly string[];
}

/** Throws VivError for want of types or symbols. */
export function listNetworkDevices(look: Look): Listing<NetworkDevice> {
  const { space } = look;
  const what = "network devices";
  const net = look.variable(what, "init_net");
  const { dev_base_head } = look.offsets(what, "net", "dev_base_head");
  const N = look.offsets(
    what,
    "net_device",
    "name",
    "dev_list",
    "ifindex",
    "flags",
    "mtu",
    "dev_addr",
    "addr_len",
    "ip_ptr",
  );
  return readListing((rows) => {
    const budget = new Budget(MOST_DEVICES);
    const addresses = new Budget(MOST_ADDRESSES);
    for (const link of walkList(space, gva(net + dev_base_head), budget)) {
      const at = gva(link - N.dev_list);
      const flags = space.u32(at, N.flags);
      const length = Math.min(space.u8(at, N.addr_len), LONGEST_ADDRESS);
      rows.push({
        index: space.s32(at, N.ifindex),
        name: look.text(at, NAME_LENGTH, N.name),
        flags: DEVICE_FLAGS.filter(({ bit }) => (flags & bit) !== 0).map(({ name }) => name),
        mtu: space.u32(at, N.mtu),
        address: Array.from(space.bytes(space.pointer(at, N.dev_addr), length), (byte) =>
          byte.toString(16).padStart(2, "0"),
        ).join(":"),
        ipv4: [...ipv4Addresses(look, space.pointer(at, N.ip_ptr), addresses)],
      });
    }
  });
}

function* ipv4Addresses(look: Look, device: Gva, budget: Budget): Generator<string, void> {
  if (device === 0) return;
  const { space } = look;
  const { ifa_list } = look.offsets("network devices", "in_device", "ifa_list");
  const A = look.offsets("network devices", "in_ifaddr", "ifa_next", "ifa_local", "ifa_prefixlen");
  for (let at = space.pointer(device, ifa_list); at !== 0; at = space.pointer(at, A.ifa_next)) {
    budget.spend();
    yield `${ipv4(space.bytes(at, 4, A.ifa_local))}/${space.u8(at, A.ifa_prefixlen)}`;
  }
}

/** Sockets as `ss -ap` shows them, and network devices. */
import type { Listing } from "../lists.ts";
import type { NetworkDevice } from "../network-devices.ts";
import type { Socket } from "../sockets.ts";
import { showGaps, showTable } from "./table.ts";

export const showSockets = (listing: Listing<Socket>): string =>
  showTable(listing.rows, [
    { title: "FAMILY", value: ({ family }) => family },
    { title: "PROTOCOL", value: ({ protocol }) => protocol },
    { title: "STATE", value: ({ state }) => state },
    { title: "LOCAL", value: ({ family, local, localPort }) => endpoint(family, local, localPort) },
    { title: "REMOTE", value: ({ family, remote, remotePort }) => endpoint(family, remote, remotePort) },
    { title: "INODE", value: ({ inode }) => inode, right: true },
    { title: "PROCESSES", value: ({ pids }) => pids.join(",") },
  ]) + showGaps(listing.gaps);

function endpoint(family: string, address: string, port: number): string {
  if (family === "inet6") return `[${address}]:${port === 0 ? "*" : port}`;
  if (family === "inet") return `${address}:${port === 0 ? "*" : port}`;
  return address === "" ? "*" : address;
}

export const showNetworkDevices = (listing: Listing<NetworkDevice>): string =>
  showTable(listing.rows, [
    { title: "INDEX", value: ({ index }) => index, right: true },
    { title: "NAME", value: ({ name }) => name },
    { title: "MTU", value: ({ mtu }) => mtu, right: true },
    { title: "ADDRESS", value: ({ address }) => address },
    { title: "IPV4", value: ({ ipv4 }) => ipv4.join(" ") },
    { title: "FLAGS", value: ({ flags }) => flags.join(",") },
  ]) + showGaps(listing.gaps);

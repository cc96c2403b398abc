/** `viv ps`. */
import { forTerminal } from "../guest/escape.ts";
import { listGuests } from "../sys/node/registry/guests.ts";
import { formatSize } from "../vmm/config.ts";
import { cpuPercent, type GuestRow } from "../vmm/registry/guest.ts";
import { EXIT } from "./exit-status.ts";
import { columns } from "./output.ts";

const HEAD = ["NAME", "ID", "STATE", "VCPUS", "MEMORY", "ACCELERATOR", "UPTIME", "CPU%", "HOSTNAME", "KERNEL"];
const UNKNOWN = "-";

export async function listCommand({ quiet, json }: { quiet: boolean; json: boolean }): Promise<number> {
  const guests = await listGuests();
  if (json) {
    process.stdout.write(`${JSON.stringify(guests.map(record), null, 2)}\n`);
    return EXIT.ok;
  }
  if (quiet) {
    for (const { name } of guests) process.stdout.write(`${name}\n`);
    return EXIT.ok;
  }
  process.stdout.write(columns([HEAD, ...guests.map(cells)]));
  if (process.getuid?.() === 0 && process.stderr.isTTY) {
    process.stderr.write("viv: these are root's own guests; those of other users are listed for them alone\n");
  }
  return EXIT.ok;
}

const record = (guest: GuestRow): Record<string, unknown> => ({
  ...guest,
  created: new Date(guest.created).toISOString(),
  cpuPercent: cpuPercent(guest),
});

function cells(guest: GuestRow): readonly string[] {
  const cpu = cpuPercent(guest);
  return [
    guest.name,
    guest.id,
    guest.state,
    String(guest.vcpus),
    formatSize(guest.memory),
    guest.accelerator,
    duration(guest.uptime),
    cpu === undefined ? UNKNOWN : cpu.toFixed(1),
    // The guest says these of itself, and may say anything.
    forTerminal(guest.hostname ?? UNKNOWN),
    forTerminal(guest.kernel ?? UNKNOWN),
  ];
}

/** The two largest units: 3d4h, 2m10s, 7s. */
export function duration(milliseconds: number): string {
  const total = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [
    [Math.floor(total / 86_400), "d"],
    [Math.floor(total / 3600) % 24, "h"],
    [Math.floor(total / 60) % 60, "m"],
    [total % 60, "s"],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0s";
  return parts
    .slice(first, first + 2)
    .map(([count, unit]) => `${count}${unit}`)
    .join("");
}

/** The two ends of a journal as a vCPU sees them: ports that note all that passes, and ports that give it again. */
import type { ApicPort, CpuPorts, PortSize } from "../ports.ts";
import { describeAccess, type Journal, type Place } from "./journal.ts";

/** The replaying vCPU did what the recorded one did not. */
export class Deviation extends Error {}

/** Ports that pass everything on to the real ones and note it. `place`: where the vCPU is. */
export function recordingPorts(ports: CpuPorts, journal: Journal, place: () => Place): CpuPorts {
  const note = (what: string, at: number, size: number, value: number, answer: number): number => {
    journal.noteAccess({ what, at, size, value, answer });
    return answer;
  };
  const arrive = (kind: "interrupt" | "nmi", vector: number) => {
    const { instructions, r } = place();
    journal.noteArrival({ kind, vector, instructions, rip: r.getBig("rip"), rsp: r.getBig("rsp") });
  };
  // The machine may exchange its local APIC: it is asked for each time.
  const apic: ApicPort = {
    pending: () => ports.apic.pending(),
    acknowledge: () => {
      const vector = ports.apic.acknowledge();
      arrive("interrupt", vector);
      return vector;
    },
    takeNmi: () => {
      const taken = ports.apic.takeNmi();
      if (taken) arrive("nmi", 2);
      return taken;
    },
    readMsr: (index) => note("APIC register read", index, 0, 0, ports.apic.readMsr(index)),
    readMsrHigh: (index) => note("APIC register read (high half)", index, 0, 0, ports.apic.readMsrHigh(index)),
    writeMsr: (index, low, high) => {
      const taken = ports.apic.writeMsr(index, low, high);
      note("APIC register write", index, 0, low, Number(taken));
      note("APIC register write (high half)", index, 0, high, 0);
      return taken;
    },
    get apicBaseLow() {
      return note("APIC base", 0, 0, 0, ports.apic.apicBaseLow);
    },
    get apicBaseHigh() {
      return note("APIC base (high half)", 0, 0, 0, ports.apic.apicBaseHigh);
    },
    writeApicBase: (low, high) => {
      const taken = ports.apic.writeApicBase(low, high);
      note("APIC base write", 0, 0, low, Number(taken));
      note("APIC base write (high half)", 0, 0, high, 0);
      return taken;
    },
    get cr8() {
      return note("CR8 read", 0, 0, 0, ports.apic.cr8);
    },
    set cr8(value) {
      ports.apic.cr8 = value;
      note("CR8 write", 0, 0, value, 0);
    },
    get tscDeadline() {
      return note("TSC deadline", 0, 0, 0, ports.apic.tscDeadline);
    },
    setTscDeadline: (deadline) => {
      ports.apic.setTscDeadline(deadline);
      note("TSC deadline write", 0, 0, deadline, 0);
    },
  };
  return {
    portRead: (port, size) => note("port read", port, size, 0, ports.portRead(port, size)),
    portWrite: (port, size, value) => {
      ports.portWrite(port, size, value);
      note("port write", port, size, value, 0);
    },
    mmioRead: (gpa, size) => note("device read", gpa, size, 0, ports.mmioRead(gpa, size)),
    mmioWrite: (gpa, size, value) => {
      ports.mmioWrite(gpa, size, value);
      note("device write", gpa, size, value, 0);
    },
    tsc: () => note("time-stamp counter", 0, 0, 0, ports.tsc()),
    wallTime: () => note("wall clock", 0, 0, 0, ports.wallTime()),
    random: (into) => {
      ports.random(into);
      journal.noteAccess({ what: "random bytes", at: 0, size: into.length, value: 0, answer: 0, bytes: into.slice() });
    },
    apic,
  };
}

export interface Replaying {
  place(): Place;
  /** An interrupt or NMI is being delivered: nothing else shall happen before the next may be. */
  arrived(): void;
}

/** Ports that answer `who` as the journal says. What is asked otherwise than it was throws a Deviation. */
export function replayingPorts(journal: Journal, who: Replaying): CpuPorts {
  const next = (what: string, at: number, size: number, value: number) => {
    const { access } = journal;
    if (
      access === undefined ||
      access.what !== what ||
      access.at !== at ||
      access.size !== size ||
      access.value !== value
    ) {
      const asked = describeAccess({ what, at, size, value });
      throw new Deviation(
        `the interpreter does: ${asked}; compiled code did: ${access === undefined ? "nothing more" : describeAccess(access)}`,
      );
    }
    journal.passAccess();
    return access;
  };
  const answer = (what: string, at: number, size: number, value: number): number => next(what, at, size, value).answer;
  const isDue = (kind: "interrupt" | "nmi"): boolean => journal.arrival?.kind === kind && journal.isDue(who.place());
  const apic: ApicPort = {
    pending: () => (isDue("interrupt") ? journal.arrival!.vector : -1),
    acknowledge: () => {
      const { vector } = journal.arrival!;
      journal.passArrival();
      who.arrived();
      return vector;
    },
    takeNmi: () => {
      if (!isDue("nmi")) return false;
      journal.passArrival();
      who.arrived();
      return true;
    },
    readMsr: (index) => answer("APIC register read", index, 0, 0),
    readMsrHigh: (index) => answer("APIC register read (high half)", index, 0, 0),
    writeMsr: (index, low, high) => {
      const taken = answer("APIC register write", index, 0, low);
      answer("APIC register write (high half)", index, 0, high);
      return taken !== 0;
    },
    get apicBaseLow() {
      return answer("APIC base", 0, 0, 0);
    },
    get apicBaseHigh() {
      return answer("APIC base (high half)", 0, 0, 0);
    },
    writeApicBase: (low, high) => {
      const taken = answer("APIC base write", 0, 0, low);
      answer("APIC base write (high half)", 0, 0, high);
      return taken !== 0;
    },
    get cr8() {
      return answer("CR8 read", 0, 0, 0);
    },
    set cr8(value) {
      answer("CR8 write", 0, 0, value);
    },
    get tscDeadline() {
      return answer("TSC deadline", 0, 0, 0);
    },
    setTscDeadline: (deadline) => void answer("TSC deadline write", 0, 0, deadline),
  };
  return {
    portRead: (port: number, size: PortSize) => answer("port read", port, size, 0),
    portWrite: (port, size, value) => void answer("port write", port, size, value),
    mmioRead: (gpa, size) => answer("device read", gpa, size, 0),
    mmioWrite: (gpa, size, value) => void answer("device write", gpa, size, value),
    tsc: () => answer("time-stamp counter", 0, 0, 0),
    wallTime: () => answer("wall clock", 0, 0, 0),
    random: (into) => {
      const { bytes } = next("random bytes", 0, into.length, 0);
      if (bytes !== undefined) into.set(bytes);
    },
    apic,
  };
}

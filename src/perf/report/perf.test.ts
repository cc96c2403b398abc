/** What perf itself reports of the same samples. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePerfDirectory } from "../../../tests/perf/perf-directory.ts";
import { randomProfile } from "../../../tests/perf/random-profile.ts";
import type { Profile } from "../profile.ts";
import type { SortKey } from "./keys.ts";
import { defaultOptions, type ReportOptions, report } from "./rows.ts";
import { reportLines } from "./text.ts";

const hasTools = ["perf", "gcc", "readelf"].every((tool) => {
  try {
    execFileSync(tool, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
});

/**
 * Without what is sampled of a guest before its kernel first is: perf knows modules by the kernel's symbols, and reads those when
 * it first needs one of the kernel's own.
 */
function fromKernel(profile: Profile): Profile {
  const { samples, stacks, frames, dsos, tasks } = profile;
  const begun = new Set<number>();
  const kept = [...samples.stack.keys()].filter((i) => {
    const guest = tasks[samples.task[i]!]!.guest;
    const kind = dsos[frames.dso[stacks.frame[samples.stack[i]!]!]!]!.kind;
    if (kind === "kernel") begun.add(guest);
    return begun.has(guest);
  });
  const columns = Object.entries(samples).map(([name, column]) => [
    name,
    (column as Float64Array).constructor === Float64Array
      ? Float64Array.from(kept, (i) => column[i])
      : Int32Array.from(kept, (i) => column[i]),
  ]);
  return { ...profile, samples: Object.fromEntries(columns) as Profile["samples"] };
}

const words = (line: string): string => line.trim().replaceAll(/ +/g, " ");
const content = (lines: readonly string[]): string[] =>
  lines.filter((line) => line.trim() !== "" && !line.startsWith("#")).map(words);

describe.skipIf(!hasTools).each([
  { seed: 1, guests: 1 },
  { seed: 2, guests: 1 },
  { seed: 3, guests: 2 },
  // Many rows with the same share.
  { seed: 4, guests: 1, weights: 1, samples: 150 },
  { seed: 5, guests: 2, weights: 2, samples: 300 },
  { seed: 6, guests: 1, weights: 1, samples: 150, tasks: 1 },
])(
  "perf reports what we report of random profile $seed, $guests guests",
  ({ seed, guests, weights = 1e6, samples = 3000, tasks = 5 }) => {
    let directory = "";
    let profile: Profile;
    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), "perf-report-"));
      profile = fromKernel(randomProfile(seed, { samples, guests, weights, tasks, gaps: false }));
      writePerfDirectory(profile, join(directory, "data"));
    });
    afterAll(() => rmSync(directory, { recursive: true }));

    const theirs = (...flags: readonly string[]): string[] => {
      const files = join(directory, "data-files");
      const given = ["--buildid-dir", files, "report", "-i", join(directory, "data"), "--stdio", ...flags];
      return content(
        execFileSync("perf", given, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split("\n"),
      );
    };
    const ours = (options: Partial<ReportOptions>, graphLimit?: number): string[] => {
      const made = report(profile, { ...defaultOptions(profile), ...options });
      return content([...reportLines(made, { percentLimit: 0, ...(graphLimit === undefined ? {} : { graphLimit }) })]);
    };

    it("with children", () => {
      expect(ours({}).length).toBeGreaterThan(15);
      expect(ours({ graph: false })).toEqual(theirs("--children", "-g", "none"));
      if (weights < 1e6 && tasks > 1) return;
      // Which of two equal rows comes first depends on whether there are call graphs to see. Of several threads it is chance: perf
      // compares the depth of their chains within a thread alone, and the rest follows from the shape of its tree.
      const rows = (lines: readonly string[]): string[] => lines.filter((line) => /^[\d.]+% [\d.]+% /.test(line));
      expect(rows(ours({}))).toEqual(rows(theirs("--children", "-g", "caller")));
    });

    it("without children", () => {
      expect(ours({ children: false })).toEqual(theirs("--no-children", "-g", "none"));
    });

    it.each<{ keys: readonly SortKey[] }>([{ keys: ["sym"] }, { keys: ["dso"] }, { keys: ["comm", "sym"] }])(
      "sorted by $keys",
      ({ keys }) => {
        expect(ours({ sort: keys, children: false })).toEqual(
          theirs("--no-children", "-g", "none", "--sort", keys.join(",")),
        );
      },
    );

    it("by task or symbol", () => {
      expect(ours({ children: false, filter: { comms: ["task-1", "task-2"] } })).toEqual(
        theirs("--no-children", "-g", "none", "--comms", "task-1,task-2"),
      );
      // With children, perf 6.1 filters by whichever sample made a row first.
      const filter = { symbols: ["kernel_1", "user_2"] };
      expect(ours({ children: false, filter, relative: true })).toEqual(
        theirs("--no-children", "-g", "none", "--symbols", "kernel_1,user_2", "--percentage", "relative"),
      );
    });

    // Of a program that two guests run, perf has a branch for each, and says of neither whose it is. Branches of the same weight
    // it has in the order of its own memory.
    it.skipIf(guests > 1 || weights < 1e6)("with call graphs", () => {
      expect(ours({}, 0.5)).toEqual(theirs("--children", "-g", "caller"));
      expect(ours({ children: false, order: "callee" }, 0.5)).toEqual(theirs("--no-children", "-g", "callee"));
    });
  },
);

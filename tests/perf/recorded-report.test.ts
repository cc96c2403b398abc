import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeProfile } from "../../src/perf/file/file.ts";
import { PROFILE_FILE } from "../../src/perf/recording.ts";
import { diffLines, diffProfiles } from "../../src/perf/report/diff.ts";
import { FrameNames } from "../../src/perf/report/frame-names.ts";
import { defaultOptions, report } from "../../src/perf/report/rows.ts";
import { scriptLines } from "../../src/perf/report/script.ts";
import { GRAPH_LIMIT, reportLines } from "../../src/perf/report/text.ts";
import { randomProfile } from "./random-profile.ts";

/** The command as built. */
const VIV = fileURLToPath(new URL("../../dist/cli/main.cjs", import.meta.url));
const [profile, other] = [randomProfile(1, { samples: 1500 }), randomProfile(2, { samples: 900 })];
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "viv-report-"));
  for (const [name, held] of Object.entries({ "perf.data": profile, "perf.data.old": other })) {
    mkdirSync(join(directory, name));
    writeFileSync(join(directory, name, PROFILE_FILE), Buffer.concat([...writeProfile(held)]));
  }
});
afterAll(() => rmSync(directory, { recursive: true }));

const viv = (...words: string[]) =>
  spawnSync(process.execPath, [VIV, "perf", ...words], { encoding: "utf8", cwd: directory });
const text = (lines: Iterable<string>): string => `${[...lines].join("\n")}\n`;

describe("viv perf on a recording", () => {
  it("reports", () => {
    const { stdout, status, stderr } = viv("report");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toBe(
      text(reportLines(report(profile, defaultOptions(profile)), { percentLimit: 0, graphLimit: GRAPH_LIMIT })),
    );
  });

  it("prints samples", () => {
    const names = new FrameNames(profile);
    expect(viv("script", "--guest", "guest-1", "--time", ",0.0005").stdout).toBe(
      text(scriptLines(names, { guests: ["guest-1"], time: { from: 0, to: 500_000 } })),
    );
  });

  it("compares", () => {
    const rows = diffProfiles(other, profile, { sort: ["sym"], filter: {} });
    expect(viv("diff", "-s", "sym").stdout).toBe(text(diffLines(rows, "cpu-clock", ["sym"], 0)));
  });

  it("says in one line what is wrong", () => {
    for (const [words, status, message] of [
      [["report", "-i", "nowhere"], 1, "viv: nowhere is no recording of viv perf record"],
      [["report", "-s", "line"], 2, "viv: --sort line is no key: choose from guest, vcpu"],
      [["annotate", "nothing"], 1, "viv: no samples in a function nothing: viv perf report names"],
      [["annotate", "user_1"], 1, "viv: 2 functions are named user_1: choose with --address, --guest or --dso"],
      [["annotate", "user_1", "--guest", "guest-0"], 1, "viv: the recording has no code of user_1"],
      [["script", "--pid", "x"], 2, "viv: --pid x is no number"],
    ] as const) {
      const ran = viv(...words);
      expect(ran.stderr).toContain(message);
      expect(ran.stderr.split("\n")).toHaveLength(2);
      expect(ran.status).toBe(status);
    }
    expect(viv("annotate", "user_1").stdout).toMatch(/^0x1100 {2}user_1 in spin of guest-\d {2}\d+ samples\n0x1100 /);
  });
});

import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { callGraphOf, filterOf, percent, sortOf } from "./options.ts";
import { addPerfCommands, type PerfActions } from "./program.ts";

const WRITERS = { pprof: () => Promise.resolve(() => []), html: () => Promise.resolve(() => []) };

/** What was called with what; or what was said. */
async function parsed(...words: string[]): Promise<unknown> {
  let called: unknown;
  const note =
    (name: string) =>
    (...given: unknown[]): Promise<number> => {
      called = [name, ...given];
      return Promise.resolve(0);
    };
  const names = ["report", "script", "diff", "annotate", "export"] as const;
  const actions = Object.fromEntries(names.map((name) => [name, note(name)])) as unknown as PerfActions;
  const program = new Command("viv")
    .exitOverride()
    .configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
  let status: Promise<number> | undefined;
  addPerfCommands(
    program,
    (running) => {
      status = running;
    },
    {
      open: () => Promise.reject(new Error("nothing to open")),
      writers: WRITERS,
      diffPage: () => Promise.resolve(() => []),
    },
    actions,
  );
  try {
    await program.parseAsync(["perf", ...words], { from: "user" });
  } catch (error) {
    return (error as Error).message;
  }
  expect(await status).toBe(0);
  return called;
}

describe("viv perf", () => {
  it("reports perf.data where nothing is said, with children where there are stacks", async () => {
    expect(await parsed("report")).toEqual(["report", { input: "perf.data" }]);
    expect(await parsed("report", "--no-children", "-g")).toEqual([
      "report",
      { input: "perf.data", children: false, callGraph: true },
    ]);
    expect(await parsed("report", "-i", "d", "--children", "-g", "callee,2", "-s", "sym", "-n", "--stdio")).toEqual([
      "report",
      { input: "d", children: true, callGraph: "callee,2", sort: "sym", showNrSamples: true, stdio: true },
    ]);
  });

  it("compares the recording before with this one", async () => {
    expect(await parsed("diff")).toEqual(["diff", "perf.data.old", "perf.data", {}]);
    expect(await parsed("diff", "a", "b", "--html", "f", "--guest", "web")).toEqual([
      "diff",
      "a",
      "b",
      { html: "f", guest: "web" },
    ]);
  });

  it("wants a symbol to annotate, and a format to export", async () => {
    expect(await parsed("annotate", "main", "--address", "0x10")).toEqual([
      "annotate",
      "main",
      { input: "perf.data", address: "0x10" },
    ]);
    expect(await parsed("annotate")).toMatch(/missing required argument 'symbol'/);
    expect(await parsed("export", "--format", "pprof", "-o", "f")).toEqual([
      "export",
      { input: "perf.data", format: "pprof", output: "f" },
    ]);
    expect(await parsed("export", "--format", "svg")).toMatch(/Allowed choices are pprof, html/);
    expect(await parsed("script", "--pid", "5")).toEqual(["script", { input: "perf.data", pid: "5" }]);
  });
});

describe("the words of its options", () => {
  it("are filters", () => {
    expect(filterOf({ comm: "a,b", pid: "1,2", time: "1.5,", dso: "/bin/a" })).toEqual({
      comms: ["a", "b"],
      pids: [1, 2],
      dsos: ["/bin/a"],
      time: { from: 1.5e9, to: Number.POSITIVE_INFINITY },
    });
    expect(() => filterOf({ pid: "init" })).toThrow("--pid init is no number");
    for (const time of ["5", "1,2,3", "a,b"]) expect(() => filterOf({ time })).toThrow(/is no time: give seconds/);
  });

  it("are sort keys, perf's names among them", () => {
    expect(sortOf("overhead,comm,symbol,comm")).toEqual(["comm", "sym"]);
    expect(() => sortOf("srcline")).toThrow(/^--sort srcline is no key: choose from guest, vcpu, comm/);
    expect(() => sortOf("overhead")).toThrow("--sort needs a key");
    expect(() => sortOf("constructor")).toThrow("is no key");
  });

  it("are call graphs", () => {
    expect(callGraphOf("")).toEqual({ shown: true });
    expect(callGraphOf("none")).toEqual({ shown: false });
    expect(callGraphOf("graph,0.5,callee")).toEqual({ shown: true, order: "callee", limit: 0.5 });
    expect(() => callGraphOf("flat")).toThrow("-g flat is not known");
    expect(() => percent("--percent-limit", "200")).toThrow("--percent-limit 200 is no share");
  });
});

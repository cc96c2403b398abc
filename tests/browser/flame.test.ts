/** The flame graph's file in a real browser, opened from the disk as a user does: the built program, Debian's Chromium, its keys and pointer. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findChromium, launchChromium } from "../../bench/browser-chromium.ts";
import { html } from "../../src/perf/html.ts";
import type { Profile } from "../../src/perf/profile.ts";
import type * as FlamePage from "../../src/sys/node/flame-page.ts";
import { busyProfile, hostileProfile } from "../flame/profiles.ts";

const chromium = findChromium();
const OPEN_MS = 50_000;
const BIG = 1_000_000;

const textOf = async (element: Locator): Promise<string> => (await element.textContent()) ?? "";

describe.skipIf(chromium === undefined)("the flame graph (needs chromium)", () => {
  const directory = mkdtempSync(join(tmpdir(), "flame-"));
  const profile = busyProfile({ samples: 20_000, seed: 1 });
  let options: ReturnType<typeof FlamePage.flameOptions>;
  let browser: Browser;
  let page: Page;
  /** What the page threw, or had to say to developers. */
  let errors: string[];
  let requests: string[];

  const write = (name: string, profile: Profile, title: string, other?: Profile): string => {
    const path = join(directory, `${name}.html`);
    const file = openSync(path, "w");
    for (const piece of html(profile, { ...options, title, ...(other === undefined ? {} : { other }) }))
      writeSync(file, piece);
    closeSync(file);
    return pathToFileURL(path).href;
  };
  let busy: string;
  let compared: string;

  beforeAll(async () => {
    // As built: the program lies beside it.
    const built = fileURLToPath(new URL("../../dist/sys/node/flame-page.js", import.meta.url));
    options = ((await import(/* @vite-ignore */ built)) as typeof FlamePage).flameOptions();
    busy = write("busy", profile, "two guests");
    const after = busyProfile({ samples: 22_000, seed: 2, often: { 7: 10, 0: 120 } });
    compared = write("compared", profile, "before and after", after);
    browser = await launchChromium(chromium!);
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(directory, { recursive: true, force: true });
  });
  beforeEach(async () => {
    errors = [];
    requests = [];
    page = await browser.newPage({ viewport: { width: 1200, height: 700 } });
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => errors.push(`${message.type()}: ${message.text()}`));
    page.on("request", (request) => requests.push(request.url()));
  });
  afterEach(async () => {
    expect(errors).toEqual([]);
    expect(requests.filter((url) => !url.startsWith("file:"))).toEqual([]);
    await page.close();
  });

  const open = async (url: string, hash = ""): Promise<void> => {
    await page.goto(url + hash);
    await page.locator("main").waitFor({ timeout: OPEN_MS });
    await settled();
  };
  /** Two frames: what was asked for is drawn. */
  const settled = (): Promise<unknown> =>
    page.evaluate(
      "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 250))))",
    );
  const status = (): Promise<string> => textOf(page.locator(".status output"));
  const crumbs = async (): Promise<string[]> => page.locator(".crumbs button").allTextContents();
  const graph = () => page.locator("main > .graph canvas");
  const press = async (...keys: string[]): Promise<void> => {
    for (const key of keys) await page.keyboard.press(key);
    await settled();
  };
  /** Weight of a function in the profile itself, as a share. */
  const shareOf = (wanted: (names: readonly string[]) => boolean, of: Profile = profile): number => {
    let [sum, all] = [0, 0];
    for (const [at, weight] of of.samples.weight.entries()) {
      const names: string[] = [];
      for (let stack = of.samples.stack[at]!; stack >= 0; stack = of.stacks.caller[stack]!) {
        names.push(of.symbols[of.frames.symbol[of.stacks.frame[stack]!]!]?.name ?? "");
      }
      all += weight;
      if (wanted(names)) sum += weight;
    }
    return sum / all;
  };
  const percent = (share: number): string => `${(share * 100).toFixed(share < 0.1 ? 2 : 1)} %`;
  const matched = (): Promise<string> => textOf(page.locator(".search output"));
  const colours = (): Promise<number> =>
    page.evaluate(`(() => {
      const canvas = document.querySelector("main > .graph canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    })()`);

  it("opens from the disk and draws", async () => {
    await open(busy);
    expect(await page.title()).toBe("two guests");
    expect(await textOf(page.locator(".totals"))).toMatch(/^20\s000 samples · 20\.0 s$/);
    expect(await colours()).toBeGreaterThan(10);
    expect(await textOf(page.locator(".legend"))).toMatch(/guest kernel\s*kernel module\s*guest user\s*host/);
  });

  it("searches text and regular expressions, and says how much matches", async () => {
    await open(busy);
    await press("/");
    await page.keyboard.type("TCP_");
    await settled();
    expect(await matched()).toBe(`${percent(shareOf((names) => names.some((name) => name.includes("tcp_"))))} matched`);
    await page.locator(".search input").fill("^ext4_(sync|file)");
    await page.getByRole("button", { name: ".*", exact: true }).click();
    await settled();
    const share = shareOf((names) => names.some((name) => /^ext4_(sync|file)/.test(name)));
    expect(await matched()).toBe(`${percent(share)} matched`);
    await page.locator(".search input").fill("(");
    await settled();
    expect(await matched()).toBe("no regular expression");
    await page.locator(".search input").press("Escape");
    await settled();
    expect(await matched()).toBe("");
  });

  it("zooms with the pointer and out again by breadcrumbs and keys", async () => {
    await open(busy);
    // Row 2, counted from 0, at the left: the heaviest command of the first guest.
    await graph().click({ position: { x: 40, y: 2 * 19 + 9 } });
    await settled();
    expect(await crumbs()).toEqual(["all", "web", "nginx"]);
    expect(await status()).toMatch(/^nginx +total .* self 0 ns/);
    await graph().click({ position: { x: 40, y: 7 * 19 + 9 } });
    await settled();
    expect((await crumbs()).slice(0, 5)).toEqual(["all", "web", "nginx", "_start", "__libc_start_main"]);
    await page.locator(".crumbs button", { hasText: "nginx" }).first().click();
    await settled();
    expect(await crumbs()).toEqual(["all", "web", "nginx"]);
    await graph().focus();
    await press("Backspace");
    expect(await crumbs()).toEqual(["all", "web"]);
    await press("Escape");
    expect(await crumbs()).toEqual(["all"]);
  });

  it("is walked through with the keyboard alone", async () => {
    await open(busy);
    await press("ArrowDown", "ArrowDown", "ArrowDown");
    expect(await status()).toMatch(/^nginx /);
    await press("ArrowRight");
    expect(await status()).toMatch(/^postgres /);
    await press("ArrowDown", "Enter");
    expect(await crumbs()).toEqual(["all", "web", "postgres", "entry_SYSCALL_64_after_hwframe"]);
    await press("s");
    expect(await textOf(page.locator(".filling b"))).toBe("entry_SYSCALL_64_after_hwframe");
    await press("?");
    expect(await textOf(page.locator("dialog[open] h2"))).toBe("Help");
    await press("Escape");
    expect(await page.locator("dialog[open]").count()).toBe(0);
  });

  it("tells about the box under the pointer", async () => {
    await open(busy, "#roots=");
    await graph().hover({ position: { x: 40, y: 19 + 9 } });
    const tip = page.locator(".tooltip");
    expect(await textOf(tip.locator(".name"))).toBe("_start");
    const text = await textOf(tip);
    expect(text).toContain(percent(shareOf((names) => names.at(-1) === "_start")));
    expect(text).toContain("DSO/usr/bin/nginx");
    await page.mouse.move(5, 5);
    await tip.waitFor({ state: "hidden" });
  });

  it("inverts: what runs at the top, callers below", async () => {
    await open(busy, "#roots=");
    await press("2");
    await press("ArrowDown", "ArrowDown");
    const heaviest = "copyout";
    const share = shareOf((names) => names[0] === heaviest);
    expect(await status()).toMatch(new RegExp(`^${heaviest} .*total \\d\\.\\d+ s · ${percent(share)}`));
    await press("ArrowDown");
    expect(await status()).toMatch(/^copy_page_to_iter /);
  });

  it("filters by guest, task, mode and time, alone and together", async () => {
    await open(busy);
    const totals = page.locator(".totals");
    await page.locator("summary", { hasText: "Guests" }).click();
    await page.getByRole("button", { name: "only", exact: true }).first().click();
    await settled();
    expect(await textOf(totals)).toMatch(/^10\s000 of 20\s000 samples/);
    await press("Escape");
    await page.locator("summary", { hasText: "Modes" }).click();
    await page.locator(".chooser[open] label", { hasText: "guest kernel" }).click();
    await page.locator(".chooser[open] label", { hasText: "host" }).click();
    await settled();
    const user = [...profile.samples.mode].filter(
      (mode, at) => mode === 1 && profile.tasks[profile.samples.task[at]!]!.guest === 0,
    );
    expect((await textOf(totals)).replaceAll("\u202f", "")).toMatch(new RegExp(`^${user.length} of 20000 samples`));
    await press("Escape");
    // Half of the time, by dragging over the strips.
    const strips = (await page.locator(".strips canvas").boundingBox())!;
    await page.mouse.move(strips.x + 130 + 100, strips.y + 30);
    await page.mouse.down();
    await page.mouse.move(strips.x + 130 + (strips.width - 130) / 2 + 100, strips.y + 30, { steps: 4 });
    await page.mouse.up();
    await settled();
    const half = Number((await textOf(totals)).replaceAll("\u202f", "").split(" ")[0]);
    expect(half / user.length).toBeGreaterThan(0.45);
    expect(half / user.length).toBeLessThan(0.55);
    // What was chosen is in the address, and survives.
    const was = await textOf(totals);
    await page.reload();
    await settled();
    expect(await textOf(totals)).toBe(was);
    await page.locator(".strips canvas").press("Escape");
    await settled();
    expect((await textOf(totals)).replaceAll("\u202f", "")).toMatch(new RegExp(`^${user.length} of`));
  });

  it("shows functions in a table that sorts, filters and leads to the sandwich", async () => {
    await open(busy);
    await press("4");
    const rows = page.locator("main > .functions .tr");
    const cell = (name: string) => textOf(rows.first().locator(`.cell.${name}`));
    expect([await cell("name"), await cell("self")]).toEqual([
      "copyout",
      percent(shareOf((names) => names[0] === "copyout")),
    ]);
    await page.getByRole("button", { name: /^Total %/ }).click();
    await settled();
    const everyTotal = percent(shareOf((names) => names.includes("do_syscall_64")));
    expect([await cell("name"), await cell("total")]).toEqual(["entry_SYSCALL_64_after_hwframe", everyTotal]);
    await page.getByRole("button", { name: /^Function/ }).click();
    await settled();
    expect(await cell("name")).toBe("Compiler.emit");
    await page.locator(".search input").fill("jbd2");
    await settled();
    expect(await rows.count()).toBe(1);
    await rows.first().click();
    await settled();
    expect(await textOf(page.locator(".filling b"))).toBe("jbd2_complete_transaction");
    expect(await textOf(page.locator(".filling span"))).toContain(
      `total ${(shareOf((names) => names.includes("jbd2_complete_transaction")) * 20.02).toFixed(2)} s`,
    );
    // The caller lies above, at the end of the row over the function's own.
    const callers = (await page.locator(".slices .graph canvas").first().boundingBox())!;
    await page.mouse.move(callers.x + 50, callers.y + callers.height - 19 - 9);
    expect(await textOf(page.locator(".tooltip .name"))).toBe("ext4_fc_commit");
    const callees = (await page.locator(".slices .graph canvas").last().boundingBox())!;
    await page.mouse.move(callees.x + 50, callees.y + 19 + 9);
    expect(await textOf(page.locator(".tooltip .name"))).toBe("io_schedule");
  });

  it("puts samples in the order of time, for each vCPU", async () => {
    await open(busy);
    await press("o", "ArrowDown", "ArrowDown", "ArrowDown");
    expect(await status()).toMatch(/^vCPU 0 /);
    await press("ArrowRight", "ArrowRight");
    expect(await status()).toMatch(/^vCPU 0 /);
    await press("ArrowRight");
    expect(await status()).toMatch(/^vCPU 1 /);
    await press("Enter");
    expect(await crumbs()).toEqual(["all", "db", "vCPU 1"]);
    for (let zoom = 0; zoom < 6; zoom++) await press("+");
    expect(await colours()).toBeGreaterThan(10);
  });

  it("colours what changed between two profiles, and says by how much", async () => {
    await open(compared, "#roots=&view=table");
    await page.getByRole("button", { name: /^Δ total/ }).click();
    await settled();
    const first = page.locator("main > .functions .tr").first();
    expect(await textOf(first.locator(".cell.name"))).toBe("_start");
    const after = busyProfile({ samples: 22_000, seed: 2, often: { 7: 10, 0: 120 } });
    const start = (names: readonly string[]): boolean => names.includes("_start");
    const points = (shareOf(start, after) - shareOf(start)) * 100;
    expect(await textOf(first.locator(".cell.total-change"))).toBe(`+${points.toFixed(2)}`);
    await press("1");
    // Of the first two rows, a place without text.
    const [all, heaviest] = (await page.evaluate(`(() => {
      const canvas = document.querySelector("main > .graph canvas");
      const { data } = canvas.getContext("2d").getImageData(15, 0, 1, 40);
      return [3, 22].map((y) => [...data.slice(y * 4, y * 4 + 3)]);
    })()`)) as number[][];
    const [red, , blue] = heaviest!;
    expect(red! - blue!).toBeGreaterThan(60);
    expect(Math.max(...all!) - Math.min(...all!)).toBeLessThan(12);
  });

  it("lets names of a hostile guest do nothing but be read", async () => {
    const url = write("hostile", hostileProfile(), `</title><script>window.owned=1</script>`);
    for (const view of ["calls", "callers", "sandwich", "table"]) {
      await page.goto("about:blank");
      await open(url, `#view=${view}&roots=gvt&search=%3Cimg%20src=x%20onerror=window.owned=1%3E`);
      await page.locator("summary", { hasText: "Tasks" }).click();
      await settled();
      await press("Escape");
      if (view === "calls") {
        for (let depth = 0; depth < 12; depth++) await graph().hover({ position: { x: 1190, y: depth * 19 + 9 } });
        await graph().focus();
        await press(...Array.from({ length: 24 }, () => "ArrowDown"), "Enter");
        expect(await status()).not.toBe("");
      }
      await page.getByRole("button", { name: "About" }).click();
      const found = await page.evaluate(`({
        owned: window.owned,
        elements: document.querySelectorAll("img, svg, iframe, object, link, body script").length,
        treacherous: document.body.innerText.match(/[\\u202a-\\u202e\\u2066-\\u2069\\u200b\\x1b\\x9b]/g),
      })`);
      expect(found).toEqual({ elements: 0, treacherous: null });
      expect(await page.title()).toBe("</title><script>window.owned=1</script>");
    }
    await page.goto("about:blank");
    await open(url, "#view=table");
    const names = await page.locator(".cell.name").allTextContents();
    expect(names.some((name) => name.includes("<img src=x onerror='window.owned=1'>"))).toBe(true);
    expect(names.some((name) => name.includes("\\u{202e}gnp.exe"))).toBe(true);
  });

  it("says that a profile is of tasks that sleep", async () => {
    await open(write("sleeping", busyProfile({ samples: 500, seed: 3, info: { event: "off-cpu" } }), "sleeping"));
    expect(await textOf(page.locator(".totals"))).toMatch(/off-CPU: where tasks sleep$/);
    expect(await textOf(page.locator(".legend"))).toContain("asleep");
  });

  it("has room for both slices of a sandwich in a narrow window", async () => {
    await page.setViewportSize({ width: 480, height: 800 });
    await open(busy, "#view=sandwich");
    const heights = await page
      .locator(".sandwich .functions, .slices .graph")
      .evaluateAll((parts) => parts.map((part) => part.clientHeight));
    expect(Math.min(...heights)).toBeGreaterThan(90);
    expect(await page.evaluate("document.documentElement.scrollHeight <= innerHeight")).toBe(true);
  });

  it("runs no script but its own, even where one gets in", async () => {
    await open(busy);
    const blocked = await page.evaluate(`new Promise((done) => {
      addEventListener("securitypolicyviolation", ({ effectiveDirective }) => done(effectiveDirective));
      const script = document.createElement("script");
      try { script.textContent = "window.owned = 1"; } catch { done("trusted types"); return; }
      document.body.append(script);
    })`);
    expect(blocked).toMatch(/script-src|trusted/);
    expect(await page.evaluate("window.owned")).toBeUndefined();
    // Chromium tells developers what it blocked.
    errors = errors.filter((error) => !/Content Security Policy|TrustedScript|require-trusted/.test(error));
  });

  it("says what is wrong with a file that is cut short", async () => {
    const path = join(directory, "cut.html");
    writeFileSync(path, readFileSync(fileURLToPath(busy), "utf8").replace(/(id="profile">.{1000})[^<]*/, "$1"));
    await page.goto(pathToFileURL(path).href);
    await page.locator("#message[role=alert]").waitFor();
    expect(await textOf(page.locator("#message"))).toMatch(/^The profile cannot be opened: /);
  });

  it("opens a million samples, and stays usable", async () => {
    const big = busyProfile({ samples: BIG, seed: 4, leaves: 300, guests: ["web", "db", "cache"], vcpus: 4 });
    const url = write("big", big, "a million");
    const began = performance.now();
    await open(url);
    const opened = performance.now() - began;
    expect(await textOf(page.locator(".totals"))).toMatch(/^1\s000\s000 samples/);
    const zoomed = performance.now();
    await press("ArrowDown", "ArrowDown", "Enter");
    expect(await crumbs()).toEqual(["all", "web"]);
    await press("2", "3", "4", "1", "o");
    const frame = await page.evaluate(`new Promise((done) => {
      const times = [];
      const canvas = document.querySelector("main > .graph canvas");
      const step = (now) => {
        times.push(now);
        canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -20, ctrlKey: true, clientX: 600, cancelable: true }));
        if (times.length < 60) requestAnimationFrame(step);
        else done((times.at(-1) - times[0]) / (times.length - 1));
      };
      requestAnimationFrame(step);
    })`);
    const views = performance.now() - zoomed;
    console.log(
      `a million samples: open after ${opened.toFixed(0)} ms, all views ${views.toFixed(0)} ms, zooming ${Number(frame).toFixed(1)} ms a frame`,
    );
  });
});

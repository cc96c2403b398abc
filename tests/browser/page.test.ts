/** The page in a real browser, as a user sees it: the built modules, Debian's Chromium, the terminal's text on the screen. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findChromium, launchChromium } from "../../bench/browser-chromium.ts";
import { buildDefaultGuest } from "../../src/image/index.ts";
import { cacheDirectory, guestPorts } from "../../src/sys/node/index.ts";
import type * as Server from "../../src/web/server/index.ts";

const images = join(cacheDirectory(), "images");
const guestIsThere = existsSync(images) && readdirSync(images).some((name) => name.startsWith("default_"));
const chromium = findChromium();

/** A guest that hangs must not outlive its test. */
const BOOT_MS = 50_000;

describe.skipIf(chromium === undefined)("the page (needs chromium)", () => {
  let server: Server.PageServer;
  let browser: Browser;
  let page: Page;
  /** What the page threw and nobody caught. */
  let errors: string[];

  beforeAll(async () => {
    // As built: the modules it serves lie beside it.
    const built = fileURLToPath(new URL("../../dist/web/server/index.js", import.meta.url));
    const { servePage } = (await import(/* @vite-ignore */ built)) as typeof Server;
    const guest = guestIsThere ? await buildDefaultGuest(guestPorts()) : undefined;
    server = await servePage({ port: 0, guest, files: new Map([["text", new TextEncoder().encode("no kernel\n")]]) });
    browser = await launchChromium(chromium!);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });
  beforeEach(async () => {
    errors = [];
    page = await browser.newPage();
    page.on("pageerror", (error) => errors.push(error.message));
  });
  afterEach(async () => {
    expect(errors).toEqual([]);
    await page.close();
  });

  const status = (text: string | RegExp) => page.locator("#status", { hasText: text });
  const screen = (text: string | RegExp) => page.locator(".xterm-rows", { hasText: text });

  it.skipIf(!guestIsThere)("boots the default guest to a shell that obeys (needs viv image build)", async () => {
    await page.goto(server.url);
    await screen("~ #").waitFor({ timeout: BOOT_MS });
    await page.keyboard.type("uname -sm\n");
    await screen("Linux x86_64").waitFor({ timeout: BOOT_MS });
    await page.keyboard.type("stty size\n");
    // The window is larger than a terminal's usual 24 by 80, and the guest knows.
    await screen(/stty size\s*([3-9]\d) (1\d\d)(?!\d)/).waitFor({ timeout: BOOT_MS });
    await page.keyboard.type("exit\n");
    await status("the guest powered off").waitFor({ timeout: BOOT_MS });
  });

  it.skipIf(!guestIsThere)("gives the library of the page the guest's commands and memory", async () => {
    // A server that has no interpreter ready: the worker generates it.
    await page.route("**/engine/interpreter.wasm", (route) => route.fulfill({ status: 404 }));
    await page.goto(`${server.url}?memory=256M`);
    await page.waitForFunction("window.vivarium", undefined, { timeout: BOOT_MS });
    const found = await page.evaluate(`(async () => {
      let out = "";
      const onStdout = (data) => { out += String.fromCharCode(...data); };
      const { exitCode } = await vivarium.exec(["sh", "-c", "cat; echo; exit 7"], { stdin: [new Uint8Array([116, 121, 112, 101, 100])], onStdout });
      await vivarium.stop();
      return { out, exitCode, ram: vivarium.ram.length };
    })()`);
    expect(found).toEqual({ out: "typed\n", exitCode: 7, ram: 256 * 1024 * 1024 });
  });

  it.each<[string, string, RegExp]>([
    ["an option misspelt", "?memry=1G", /no option "memry"; did you mean "memory"\?/],
    ["a size that is none", "?memory=much", /--memory much: give a size/],
    ["a kernel that is not there", "?kernel=files/none", /kernel files\/none: the server has no such file/],
    ["a file that is no kernel", "?kernel=files/text", /not a kernel/],
  ])("says what is wrong with %s", async (_, query, message) => {
    await page.goto(server.url + query);
    await status(message).waitFor({ timeout: BOOT_MS });
  });

  it("says what is wrong where the server does not isolate the page", async () => {
    await page.route(server.url, async (route) => {
      const response = await route.fetch();
      const headers = { ...response.headers() };
      delete headers["cross-origin-opener-policy"];
      await route.fulfill({ response, headers });
    });
    await page.goto(server.url);
    await status(/threads cannot share memory .* Cross-Origin-Opener-Policy: same-origin/).waitFor({
      timeout: BOOT_MS,
    });
  });

  it("says what is wrong where the browser lacks tail calls, or memory", async () => {
    await page.addInitScript("WebAssembly.validate = () => false");
    await page.goto(server.url);
    await status(/WebAssembly lacks tail calls .*: use a current/).waitFor({ timeout: BOOT_MS });
    await page.addInitScript(
      "WebAssembly.validate = () => true; WebAssembly.Memory = class { constructor() { throw new RangeError() } }",
    );
    await page.goto(server.url);
    await status(/cannot set 512M of memory aside for the guest: give it less/).waitFor({ timeout: BOOT_MS });
  });

  it("serves no file but those of the page", async () => {
    for (const path of [
      "dist/../package.json",
      "dist/..%2fpackage.json",
      "dist/%2e%2e/node_modules/x.js",
      "package.json",
      "lib/@xterm/xterm/package.json",
      "files/none",
      "%zz",
    ]) {
      expect((await fetch(server.url + path)).status, path).toBe(404);
    }
    expect((await fetch(server.url, { method: "POST" })).status).toBe(405);
    const { headers } = await fetch(`${server.url}dist/web/page/main.js`);
    expect(headers.get("content-type")).toMatch("text/javascript");
    expect(headers.get("cross-origin-embedder-policy")).toBe("require-corp");
  });
});

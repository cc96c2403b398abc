/**
 * A guest in the page, as a process like `viv run`: takes kernel, initramfs and the machine's other options as JSON, serves the
 * page, opens it in Chromium and prints what the guest prints.
 */
import { readFile } from "node:fs/promises";
import { servePage } from "#dist/web/server/index.js";
import { findChromium, launchChromium } from "./browser-chromium.ts";

const [kernel, initrd, options] = process.argv.slice(2) as [string, string, string];
const chromium = findChromium();
if (chromium === undefined) throw new Error("there is no Chromium: install it, or name it in CHROMIUM");
const files = new Map([
  ["kernel", await readFile(kernel)],
  ["initrd", await readFile(initrd)],
]);
const server = await servePage({ port: 0, files });
const browser = await launchChromium(chromium);
const page = await browser.newPage();
page.on("crash", () => process.stderr.write("the page has crashed\n"));
page.on("pageerror", (error) => process.stderr.write(`${error.message}\n`));

/** Functions of the page are text here: this project knows no document. */
await page.exposeFunction("print", (text: string) => void process.stdout.write(text));
const query = new URLSearchParams({
  kernel: "files/kernel",
  initrd: "files/initrd",
  ...(JSON.parse(options) as Record<string, string>),
});
await page.goto(`${server.url}?${query}`);
await page.waitForFunction(`window.vivarium || document.querySelector("#status.failed")`, undefined, {
  timeout: 60_000,
});
const end = await page.evaluate(`(async () => {
  if (!window.vivarium) return document.querySelector("#status").textContent;
  vivarium.console.listen((data) => print(String.fromCharCode(...data)));
  await vivarium.wait();
})()`);
if (typeof end === "string") process.stderr.write(`${end}\n`);
await browser.close();
await server.close();

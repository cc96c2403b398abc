import { describe, expect, it } from "vitest";
import { progressDisplay } from "./progress.ts";

const show = (isTTY: boolean, columns = 80) => {
  let text = "";
  const display = progressDisplay({
    isTTY,
    columns,
    write: (more) => {
      text += more;
    },
  });
  return { display, text: () => text };
};

describe("the progress display", () => {
  it("draws a bar on a terminal and takes it away", () => {
    const { display, text } = show(true);
    display.listener({ stage: "download", item: "busybox-static", done: 50, total: 200 });
    expect(text()).toBe("\r\x1b[K[######------------------]  25% Fetching busybox-static");
    display.end();
    expect(text().endsWith("\r\x1b[K")).toBe(true);
  });

  it("fits the terminal", () => {
    const { display, text } = show(true, 20);
    display.listener({ stage: "download", item: "linux-image-cloud-amd64", done: 1, total: 2 });
    expect(text().replace("\r\x1b[K", "").length).toBe(19);
  });

  it("writes a line for each step elsewhere, whatever the steps report", () => {
    const { display, text } = show(false);
    for (const done of [0, 1, 2, 3]) display.listener({ stage: "unpack", item: "kernel", done, total: 3 });
    display.listener({ stage: "store", item: "default", done: 0, total: 0 });
    display.end();
    expect(text()).toBe("viv: Unpacking kernel\nviv: Storing default\n");
  });
});

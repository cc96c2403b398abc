/** Help and what is known of the recording, in dialogs. */
import { forTerminal } from "../../../guest/escape.ts";
import type { FlameData } from "../../../perf/flame/data.ts";
import { count, quantity } from "../model/quantities.ts";
import { button, make } from "./dom.ts";

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "search; regular expressions with .*"],
  ["1 2 3 4", "calls, callers, sandwich, table"],
  ["o", "order: heaviest first, or as time went"],
  ["f", "flames: the root at the bottom"],
  ["c", "next colouring"],
  ["s", "sandwich of the chosen function"],
  ["Arrows", "choose caller, callee, neighbour"],
  ["Enter or click", "zoom in to a box (Shift+click: choose it only)"],
  ["Backspace", "zoom out by one box"],
  ["Esc", "close; zoom out; end the search; all the time again"],
  ["+ −", "zoom (Ctrl+wheel: at the pointer)"],
  ["[ ]", "move sideways (drag, Shift+wheel)"],
  ["?", "this help"],
];

const table = (rows: readonly (readonly [string, string])[]): HTMLElement => {
  const list = make("dl");
  for (const [what, value] of rows) list.append(make("dt", {}, what), make("dd", {}, value));
  return list;
};

function dialog(title: string, ...content: readonly Node[]): HTMLDialogElement {
  const element = make("dialog", { "aria-label": title }, make("h2", {}, title), ...content);
  element.append(button("Close", "close (Esc)", () => element.close()));
  // A click beside it.
  element.addEventListener("click", (event) => {
    if (event.target === element) element.close();
  });
  return element;
}

export function helpDialog(): HTMLDialogElement {
  const explanation = make(
    "p",
    {},
    "Each box is a function, as wide as the weight of the samples that had it on their stack; what it calls lies on its other side. " +
      "Total is a function with all it calls, self the function alone. Pale boxes without a name stand for many that are too narrow to draw: zoom in.",
  );
  return dialog("Help", explanation, table(KEYS));
}

const EVENTS = {
  "cpu-clock": "time on the CPU",
  instructions: "instructions executed",
  "off-cpu": "off-CPU: where sleeping tasks wait",
} as const;

export function aboutDialog(data: FlameData): HTMLDialogElement {
  const parts = data.profiles.flatMap(({ info, weight }, profile) => {
    const sum = weight.reduce((sum, one) => sum + one, 0);
    const heading = data.profiles.length > 1 ? [make("h3", {}, profile === 0 ? "A, before" : "B, after")] : [];
    return [
      ...heading,
      table([
        ["What", EVENTS[info.event]],
        ["Samples", `${count(weight.length)}, ${count(info.lost)} lost`],
        ["Weight", quantity(sum, info.unit)],
        ["Period", quantity(info.period, info.unit)],
        ["Length", quantity(info.duration, "ns")],
        ["Begun", new Date(info.startedAt).toISOString()],
        ["Host", forTerminal(`${info.hostname}, ${info.hostKernel}, ${info.cpu} (${info.cpus})`)],
        ["Command", forTerminal(info.command.join(" "))],
        ["Vivarium", forTerminal(info.version)],
      ]),
    ];
  });
  const guests = data.guests.map(({ name, hostname, kernelRelease, opaque }): [string, string] => {
    const claims = [hostname, kernelRelease].filter((claim) => claim !== undefined).join(", ");
    return [forTerminal(name), opaque ? "opaque: by address only" : forTerminal(claims)];
  });
  return dialog("About this profile", ...parts, make("h3", {}, "Guests, and what they call themselves"), table(guests));
}

/** Elements, made without markup: what is text stays text, and the page's policy forbids the other way. */
type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : `${value}`);
  }
  element.append(...children);
  return element;
}

export function button(label: string, title: string, press: () => void): HTMLButtonElement {
  const element = make("button", { type: "button", title }, label);
  element.addEventListener("click", press);
  return element;
}

/** A choice of a few, with what each is called. */
export function select<Choice extends string>(
  label: string,
  choices: Readonly<Record<Choice, string>>,
  choose: (choice: Choice) => void,
): { readonly element: HTMLElement; readonly select: HTMLSelectElement } {
  const list = make("select");
  for (const [value, text] of Object.entries<string>(choices)) list.append(make("option", { value }, text));
  list.addEventListener("change", () => choose(list.value as Choice));
  return { element: make("label", {}, label, list), select: list };
}

export function checkbox(
  label: string,
  title: string,
  toggle: (on: boolean) => void,
): { readonly element: HTMLElement; readonly input: HTMLInputElement } {
  const input = make("input", { type: "checkbox" });
  input.addEventListener("change", () => toggle(input.checked));
  return { element: make("label", { title }, input, label), input };
}

/** A canvas as large as its element, in the screen's own pixels; what is drawn is measured in CSS pixels. */
export function fitted(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = devicePixelRatio;
  const [wide, high] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d", { alpha: false })!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** Runs at most once a frame, however often it is asked for. */
export function onceAFrame(draw: () => void): () => void {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      draw();
    });
  };
}

/** Text in boxes: cut to the room there is, measured once for each character set that is not ASCII. */
const ASCII = /^[ -~]*$/;

export class Labels {
  readonly font: string;
  #advance = 0;

  constructor(size: number) {
    this.font = `${size}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace`;
  }

  /** `text` as much as fits in `width`, empty where nothing useful does. */
  fit(context: CanvasRenderingContext2D, text: string, width: number): string {
    if (this.#advance === 0) this.#advance = context.measureText("M".repeat(32)).width / 32;
    const room = Math.floor(width / this.#advance);
    if (room < 2) return "";
    if (text.length <= room && ASCII.test(text)) return text;
    // Characters outside ASCII may be wide, and several may be one.
    let characters = Array.from(text.slice(0, room * 4));
    if (characters.length < text.length || characters.length > room) {
      characters = [...characters.slice(0, room - 1), "…"];
    }
    let cut = characters.join("");
    while (!ASCII.test(cut) && characters.length > 2 && context.measureText(cut).width > width) {
      characters.splice(-2, 1);
      cut = characters.join("");
    }
    return cut;
  }
}

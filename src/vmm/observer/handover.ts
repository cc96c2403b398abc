/** Items from who has them when they come to who asks for them one by one. */

export class Handover<Item extends object> {
  readonly #items: Item[] = [];
  #closed = false;
  #came: () => void = () => undefined;
  #taken: () => void = () => undefined;

  /** Settles when it was taken, and what came before it, or when nobody takes any more. */
  async give(item: Item): Promise<void> {
    if (this.#closed) return;
    this.#items.push(item);
    this.#came();
    await new Promise<void>((resolve) => {
      const before = this.#taken;
      this.#taken = () => {
        before();
        resolve();
      };
    });
  }

  /** The items until `last` settles; then throws what that rejects with. What comes when this was left is dropped. */
  async *until(last: Promise<unknown>): AsyncGenerator<Item, void, undefined> {
    let over = false;
    const end = () => {
      over = true;
      this.#came();
    };
    last.then(end, end);
    try {
      for (;;) {
        for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) {
          yield item;
          if (this.#items.length === 0) this.#acknowledge();
        }
        if (over) break;
        await new Promise<void>((resolve) => {
          this.#came = resolve;
        });
      }
      await last;
    } finally {
      this.#closed = true;
      this.#acknowledge();
    }
  }

  #acknowledge(): void {
    const taken = this.#taken;
    this.#taken = () => undefined;
    taken();
  }
}

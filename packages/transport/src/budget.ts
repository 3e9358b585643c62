/**
 * Bytes of one kind that the connections of a process with the same limit hold together. Each says what it holds; whoever
 * finds that it is too much in all lets one of them go.
 */
export class Budget<Holder> {
  /** In the order in which they began to hold anything. */
  readonly #bytes = new Map<Holder, number>();
  #held = 0;

  constructor(readonly limit: number) {}

  get held(): number {
    return this.#held;
  }

  get isOver(): boolean {
    return this.#held > this.limit;
  }

  /** What `holder` holds from now on. */
  set(holder: Holder, bytes: number): void {
    const before = this.#bytes.get(holder) ?? 0;
    if (bytes === before) return;
    this.#held += bytes - before;
    if (bytes === 0) this.#bytes.delete(holder);
    else this.#bytes.set(holder, bytes);
  }

  /** Who has held something for longest. */
  oldest(): Holder | undefined {
    return this.#bytes.keys().next().value;
  }

  /** Who holds most. */
  largest(): Holder | undefined {
    let found: Holder | undefined;
    let most = 0;
    for (const [holder, bytes] of this.#bytes) {
      if (bytes <= most) continue;
      found = holder;
      most = bytes;
    }
    return found;
  }
}

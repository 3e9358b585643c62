/** Where a producer waits until it may go on. Costs nothing until somebody waits. */
export class Gate {
  #waiting: (() => void)[] = [];

  /** Resolves at the next `open`. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  open(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }
}

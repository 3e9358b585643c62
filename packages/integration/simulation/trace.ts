/**
 * What happened, as one number: two runs of a seed that differ in anything, be it a byte or the order of two events,
 * have different ones. With `lines` it is kept as text, too.
 */
export class Trace {
  readonly lines: string[] | undefined;
  #hash = 0x811c9dc5;

  constructor(keep = false) {
    if (keep) this.lines = [];
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  event(at: number, order: number): void {
    this.#mix(Math.floor(at * 1024));
    this.#mix(order);
  }

  /** Bytes that arrive. */
  bytes(at: number, where: string, bytes: Uint8Array): void {
    for (const byte of bytes) this.#hash = Math.imul(this.#hash ^ byte, 0x01000193);
    this.lines?.push(`${at.toFixed(2)} ${where}: ${bytes.length} bytes`);
  }

  say(at: number, text: string): void {
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
    this.lines?.push(`${at.toFixed(2)} ${text}`);
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x01000193);
  }
}

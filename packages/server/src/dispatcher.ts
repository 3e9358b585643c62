import type { Method, Registry } from "./registry";

interface Entry {
  readonly hash: number;
  readonly bytes: Uint8Array;
  readonly method: Method | undefined;
  readonly channel: Method | undefined;
  readonly next: Entry | undefined;
}

const SLOTS = 1024;

/**
 * Finds the function of a call from the bytes of its target, without making a string of them: a table of FNV-1a
 * hashes (Fowler, Noll and Vo), compared byte by byte. A target is looked up nowhere else, so no name can reach
 * anything but what was registered.
 */
export class Dispatcher {
  readonly #registry: Registry;
  #slots: (Entry | undefined)[] = [];
  #version = -1;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** The function and the channel registered under bytes[start, end) as `group/name`. */
  find(bytes: Uint8Array, start: number, end: number): Entry | undefined {
    if (this.#version !== this.#registry.version) this.#build();
    const hash = hashOf(bytes, start, end);
    for (let entry = this.#slots[hash & (SLOTS - 1)]; entry !== undefined; entry = entry.next) {
      if (entry.hash === hash && equal(entry.bytes, bytes, start, end)) return entry;
    }
    return undefined;
  }

  #build(): void {
    this.#version = this.#registry.version;
    this.#slots = new Array<Entry | undefined>(SLOTS).fill(undefined);
    const targets = new Map<string, { method?: Method; channel?: Method }>();
    for (const method of this.#registry.list()) {
      const found = targets.get(method.target) ?? {};
      targets.set(method.target, method.kind === "channel" ? { ...found, channel: method } : { ...found, method });
    }
    for (const [target, { method, channel }] of targets) {
      const bytes = new TextEncoder().encode(target);
      const hash = hashOf(bytes, 0, bytes.length);
      const slot = hash & (SLOTS - 1);
      this.#slots[slot] = { hash, bytes, method, channel, next: this.#slots[slot] };
    }
  }
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash;
}

function equal(expected: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (expected.length !== end - start) return false;
  for (let at = 0; at < expected.length; at++) if (expected[at] !== bytes[start + at]) return false;
  return true;
}

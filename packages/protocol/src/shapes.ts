const SIZE = 512;

/**
 * The shapes of a message's objects, for the cost that the scan counts. V8 keeps one description of all objects that
 * got equal keys in equal order, as a tree: a shape is the one before it and a key more. So a thousand records cost
 * little, and a thousand objects of the same keys in as many orders cost ten times as much. This is that tree, as far
 * as a table of fixed size remembers it.
 *
 * Shapes are numbers; that of the empty object is 0.
 */
export class Shapes {
  // Hashed by the shape before and the key; an id of 0 is a free place.
  readonly #ids = new Int32Array(SIZE);
  readonly #before = new Int32Array(SIZE);
  readonly #keys = new Int32Array(SIZE);
  #last = 0;

  /** Forgets the shapes of the last message. */
  clear(): void {
    if (this.#last > 0) this.#ids.fill(0);
    this.#last = 0;
  }

  /** The newest shape: one that {@link extend} returns is new if it is greater. */
  get last(): number {
    return this.#last;
  }

  /** The shape that an object of shape `before` has with the key in `bytes[at, at + length)` besides. */
  extend(before: number, bytes: Uint8Array, at: number, length: number): number {
    const hash =
      before * 31 + length * 3 + bytes[at]! * 5 + bytes[at + (length >> 1)]! * 7 + bytes[at + length - 1]! * 11;
    const place = hash & (SIZE - 1);
    const id = this.#ids[place]!;
    if (id !== 0 && this.#before[place] === before && isSameKey(bytes, this.#keys[place]!, at, length)) return id;
    this.#ids[place] = ++this.#last;
    this.#before[place] = before;
    this.#keys[place] = at;
    return this.#last;
  }
}

/** Whether two short keys are equal. The byte before such a key is its length; a long one counts as new. */
function isSameKey(bytes: Uint8Array, one: number, other: number, length: number): boolean {
  if (length > MAX_SHORT) return false;
  for (let i = -1; i < length; i++) if (bytes[one + i] !== bytes[other + i]) return false;
  return true;
}

/** Longest string in bytes whose length is in its head. */
const MAX_SHORT = 31;

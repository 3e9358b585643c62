import type { AnyFn } from "@rap/protocol";
import type { Host } from "./host";

/** Plugins of one kind on one host. More are a loop that loads them. */
const MAX_GROUPS = 100;

/**
 * The private functions with which a plugin is administered, in a group of their own. Two plugins of a kind may be
 * loaded together: the group of the second is then `name2`, that of the third `name3`.
 */
export class PrivateFunctions {
  readonly #group: string;
  readonly #fns: Readonly<Record<string, AnyFn>>;
  readonly #groups = new WeakMap<Host, string>();

  constructor(group: string, fns: Readonly<Record<string, AnyFn>>) {
    this.#group = group;
    this.#fns = fns;
  }

  /**
   * Registers them, for `onStart`; gives the group. A host that could not listen starts its plugins again: from then on
   * nothing is done.
   */
  register(host: Host): string {
    const known = this.#groups.get(host);
    if (known !== undefined) return known;
    for (let number = 1; ; number++) {
      const group = number === 1 ? this.#group : `${this.#group}${number}`;
      try {
        host.register(this.#fns, { group, private: true });
        this.#groups.set(host, group);
        return group;
      } catch (error) {
        if ((error as { taken?: unknown } | undefined)?.taken !== true || number === MAX_GROUPS) throw error;
      }
    }
  }
}

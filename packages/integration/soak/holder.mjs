// Opens connections and holds them.
import { Client } from "@rap/client";
import { answer, options } from "../faults/child.mjs";

const given = options();
const clients = [];

/** Connections of one client, which has as many places to call. */
const EACH = 100;

answer({
  /** So many, and in how many milliseconds. */
  async open(count) {
    const began = performance.now();
    let opened = 0;
    const lane = async () => {
      while (opened < count) {
        const target = Array.from({ length: Math.min(EACH, count - opened) }, () => given.target);
        opened += target.length;
        clients.push(await new Client({ ...given, target }).start());
      }
    };
    await Promise.all([lane(), lane(), lane()]);
    return performance.now() - began;
  },
});

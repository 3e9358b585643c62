import { once } from "node:events";
import { RapError } from "@rap/protocol";
import { context, Server } from "@rap/server";

/** A server with functions that tell what they were called with. */
export function newServer(): Server {
  const calls: unknown[] = [];
  return new Server().register({
    add: (a: number, b: number) => a + b,
    async *count(to: number) {
      for (let n = 1; n <= to; n++) yield n;
    },
    seen: () => {
      const { metadata, deadline, group, method } = context();
      return { metadata: [...metadata], left: deadline?.remaining(), group, method };
    },
    fail: () => {
      throw new RapError("NOT_FOUND", "no such thing");
    },
    note: (...args: unknown[]) => calls.push(args),
    notes: () => calls,
    untilAborted: async () => void (await once(context().signal, "abort")),
  });
}

export type Functions = {
  add(a: number, b: number): number;
  count(to: number): AsyncGenerator<number>;
  seen(): { metadata: [string, string][]; left: number | undefined; group: string; method: string };
  fail(): never;
  note(...args: unknown[]): number;
  notes(): unknown[][];
  untilAborted(): Promise<void>;
};

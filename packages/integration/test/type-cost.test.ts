import { expect, test } from "@jest/globals";
import { compile } from "./compile";

/** A client of a service of so many methods, of which every tenth streams and every thirtieth is a channel. */
function service(methods: number): string {
  const kinds = Array.from({ length: methods }, (_, n) =>
    n % 30 === 1 ? "channel" : n % 10 === 0 ? "stream" : "unary",
  );
  const members = kinds.map((kind, n) => {
    const item = `{ id: ${n}; name: string; tags: string[]; at: Date; next?: { n: ${n} } }`;
    if (kind === "channel") return `m${n}(channel: Channel<{ in: ${n} }, { out: ${n} }>): Promise<void>;`;
    if (kind === "stream") return `m${n}(id: ${n}, options?: { limit?: number }): AsyncGenerator<${item}>;`;
    return `m${n}(id: ${n}, name: string, options?: { dry?: boolean }): Promise<${item}>;`;
  });
  const told = kinds.flatMap((kind, n) => (kind === "unary" ? [] : [`m${n}: "${kind}"`]));
  const uses = kinds.map((kind, n) => {
    if (kind === "channel") return `await service.m${n}(async (c) => c.write({ in: ${n} }));`;
    if (kind === "stream") return `for await (const item of service.m${n}(${n})) item.id satisfies ${n};`;
    return `(await service.m${n}.with({ timeout: 5 })(${n}, "a")).next?.n satisfies ${n} | undefined;`;
  });
  return `
    import { Client } from "@rap/client";
    import type { Channel } from "@rap/protocol";
    interface Service { ${members.join("\n")} }
    const service = new Client().service<Service>("group"${told.length > 0 ? `, { ${told.join(", ")} }` : ""});
    void service; void (0 as never as Channel<1, 2>);
    ${uses.join("\n")}
    export {};
  `;
}

test("300 methods in one group cost the compiler less than two seconds more than none", () => {
  const empty = compile(service(0));
  const full = compile(service(300));
  expect([empty.errors, full.errors]).toEqual([[], []]);
  // Counted, since seconds are those of a busy machine: 80 000 were 1.4 s of checking when this was written, with all of
  // tsc cold, and 160 000 were 3.5 s.
  expect(full.instantiations - empty.instantiations).toBeLessThan(100_000);
}, 60_000);

test("what a method costs does not grow with their number", () => {
  const few = compile(service(30));
  const many = compile(service(300));
  expect(many.instantiations).toBeLessThan(11 * few.instantiations);
}, 60_000);

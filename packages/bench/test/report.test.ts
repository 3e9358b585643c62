import { describe, expect, test } from "@jest/globals";

const { summary } = require("../report");

const machine = { node: "v20", cores: 2, cpu: "any" };

/** The row on the best peer that has streams, of rounds in which all went at these rates. */
function row(workload: string, rates: Record<string, number>): string | undefined {
  const results = Object.fromEntries(Object.entries(rates).map(([name, rate]) => [name, { rate }]));
  const text: string = summary({ machine, workloads: { [workload]: { name: workload, rounds: [results, results] } } });
  return text.split("\n").find((line) => line.startsWith(`| ${workload}: rate, of the best peer with`));
}

describe("the bound on streams is about", () => {
  test("the best peer that has some", () => {
    expect(row("W6", { rap: 500, trpc: 50, grpc: 100 })).toBe(
      "| W6: rate, of the best peer with streams, NDJSON apart | 5.00 | at least 4 |",
    );
    expect(row("W7", { rap: 500, grpc: 100, moleculer: 125 })).toBe(
      "| W7: rate, of the best peer with channels | 4.00 | at least 3 |",
    );
  });

  test("nobody who sends messages or lines of text", () => {
    const others = { nats: 400, birpc: 400, socketio: 400, "socketio-json": 400, fastify: 400, "fastify-pieces": 900 };
    expect(row("W6", { rap: 500, capnweb: 100, ...others })).toContain("| 5.00 |");
    expect(row("W6", { rap: 500, ...others })).toContain("|  |");
  });
});

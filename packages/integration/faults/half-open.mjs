// Runs in a network namespace of its own: a server, a client, and a loopback that is taken away between them.
import { execFileSync } from "node:child_process";
import { Client } from "@rap/client";
import { answer, Child } from "./child.mjs";
import { Ledger, pause, token, until } from "./token.mjs";

const link = (state) => execFileSync("ip", ["link", "set", "lo", state]);

async function run() {
  link("up");
  const keepalive = { keepaliveInterval: 1_000, keepaliveTimeout: 1_000 };
  const server = await Child.start("./server.mjs", { limits: keepalive });
  const client = await new Client({
    target: server.hello.address,
    keepalive: { interval: 1_000, timeout: 1_000 },
    reconnect: { initial: 100, max: 500 },
  }).start();
  const ledger = new Ledger();
  const echo = client.register("echo", { timeout: 5_000 });
  for (let n = 0; n < 100; n++) await ledger.call(echo, token("half", n), 5_000);
  const errors = new Map();
  const waiting = Array.from({ length: 20 }, () =>
    client.invokeByName("patient", [60_000]).catch(({ code }) => errors.set(code, (errors.get(code) ?? 0) + 1)),
  );
  await until(async () => (await server.ask("stats")).alive === 20);
  link("down");
  const cut = performance.now();
  const gone = until(async () => (await server.ask("stats")).alive === 0).then(() => performance.now() - cut);
  // Sent into the void: whatever comes of them, none may run twice once the network is back.
  const lost = Array.from({ length: 20 }, (_, i) => ledger.call(echo, token("half", 100 + i), 5_000));
  await Promise.all(waiting);
  const here = performance.now() - cut;
  const there = await gone;
  link("up");
  const back = await client.invokeByName("add", [1, 2], { timeout: 5_000 });
  await Promise.all(lost);
  await pause(1_000);
  const { repeated } = ledger.audit(await server.ask("executions"));
  await client.stop();
  await server.end();
  return {
    client: here,
    server: there,
    errors: [...errors].map(([code, count]) => `${count} ${code}`).join(", "),
    twice: [repeated, ledger.wrong, ledger.twice].join(", "),
    back,
  };
}

answer({ run });

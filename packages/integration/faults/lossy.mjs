// Runs in a network namespace of its own, whose firewall loses packets between a server and its clients, or breaks their
// connections: `nft` does there what a bad network does elsewhere.
import { execFileSync } from "node:child_process";
import { Client } from "@rap/client";
import { RapError } from "@rap/protocol";
import { answer, Child, options } from "./child.mjs";
import { wholeStream } from "./shutdown.mjs";
import { Ledger, pause, token, until } from "./token.mjs";

/** What becomes of packets to and from the server's port. */
const RULES = {
  "s2c dropped": (port) => [`tcp sport ${port} drop`],
  "c2s dropped": (port) => [`tcp dport ${port} drop`],
  "20 % lost": (port) => ["dport", "sport"].map((end) => `tcp ${end} ${port} numgen random mod 100 < 20 drop`),
  // To the client, or to the server, as if the other had sent it.
  "resets injected": (port) =>
    ["dport", "sport"].map((end) => `tcp ${end} ${port} numgen random mod 1000 < 5 reject with tcp reset`),
};
const CLIENTS = 4;
const LANES = 8;
const DEADLINE = 2_000;
const SECOND = { interval: 1_000, timeout: 1_000 };

const { fault } = options();
const nft = (...commands) => execFileSync("nft", [commands.join("; ")]);

async function run() {
  execFileSync("ip", ["link", "set", "lo", "up"]);
  const limits = { keepaliveInterval: SECOND.interval, keepaliveTimeout: SECOND.timeout };
  const server = await Child.start("./server.mjs", { limits });
  const { port, address } = server.hello;
  const fds = server.fds;
  const patience = { connectTimeout: 1_000, handshakeTimeout: 1_000 };
  const reconnect = { initial: 100, max: 500 };
  const clients = Array.from(
    { length: CLIENTS },
    () => new Client({ target: address, keepalive: SECOND, reconnect, limits: patience }),
  );
  await Promise.all(clients.map((client) => client.start()));
  const ledger = new Ledger();
  const streams = { whole: 0, cut: 0, wrong: 0 };
  let running = true;
  let numbers = 0;
  const calling = async (client) => {
    const echo = client.register("echo", { timeout: DEADLINE });
    while (running) {
      await ledger.call(echo, token(fault, numbers++, 1_000), DEADLINE);
      await pause(5);
    }
  };
  const reading = async (client, caller) => {
    const items = client.registerGen("items");
    while (running) {
      try {
        await wholeStream(items, caller, 50, 10);
        streams.whole++;
      } catch (error) {
        if (RapError.is(error)) streams.cut++;
        else streams.wrong++;
        await pause(50);
      }
    }
  };
  const lanes = clients.flatMap((client, i) => [
    ...Array.from({ length: LANES }, () => calling(client)),
    reading(client, i),
  ]);
  await pause(500);
  const patient = Promise.all(
    Array.from({ length: 20 }, () => clients[0].invokeByName("patient", [60_000]).catch(() => {})),
  );
  await until(async () => (await server.ask("stats")).alive === 20);
  nft(
    "add table inet faulty",
    "add chain inet faulty in { type filter hook input priority 0; }",
    ...RULES[fault](port).map((rule) => `add rule inet faulty in ${rule}`),
  );
  const began = performance.now();
  const before = ledger.ok;
  let here;
  let there;
  void patient.then(() => (here = performance.now() - began));
  void until(async () => (await server.ask("stats")).alive === 0).then((gone) => {
    if (gone) there = performance.now() - began;
  });
  await pause(5_000);
  const during = ledger.ok - before;
  nft("delete table inet faulty");
  const healed = performance.now();
  // What was lost before may be heard of only now.
  const answers = (client) =>
    client.invokeByName("add", [1, 2], { timeout: 10_000 }).then(
      () => true,
      () => false,
    );
  await Promise.all(clients.map((client) => until(() => answers(client))));
  const back = performance.now() - healed;
  await pause(500);
  running = false;
  await Promise.all(lanes);
  const { repeated, ranThoughNever, succeededUnrun } = ledger.audit(await server.ask("executions"));
  await Promise.all(clients.map((client) => client.stop({ graceMs: 0 })));
  const quiet = await until(async () => {
    const { connections, handshakes, inFlight, timers, alive } = await server.ask("stats");
    return connections + handshakes + inFlight + timers + alive === 0 && server.fds === fds;
  });
  const rest = quiet ? "nothing" : `${JSON.stringify(await server.ask("stats"))}, ${server.fds - fds} fds`;
  await server.end();
  const { calls, errorText: errors, open, twice, late, wrong } = ledger;
  return {
    ...{ here, there, during, back, streams, calls, errors, rest },
    broken: [open, twice, late, wrong, repeated, ranThoughNever, succeededUnrun, streams.wrong],
  };
}

answer({ run });

// The server that is attacked, killed and stopped: its functions note what became of each call.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { ServerCryptoProcessor } from "@rap/plugin-crypto";
import { context, Server } from "@rap/server";
import { answer, options } from "./child.mjs";
import { answerTo } from "./token.mjs";

const { crypto, port = 0, forever = false, ...given } = options();
const counts = { executed: 0, alive: 0, maxAliveOfOne: 0, aborted: 0, generators: 0, finallys: 0, warnings: [] };
/** Functions that run, by the connection that called them, which may be gone already. */
const aliveOf = new Map();
/** How often each token was executed. */
const executions = new Map();
let blocked = 0;
process.on("warning", (warning) => counts.warnings.push(warning.message));

async function counted(job) {
  const { signal, conn } = context();
  counts.alive++;
  aliveOf.set(conn.id, (aliveOf.get(conn.id) ?? 0) + 1);
  counts.maxAliveOfOne = Math.max(counts.maxAliveOfOne, aliveOf.get(conn.id));
  signal.addEventListener("abort", () => counts.aborted++, { once: true });
  try {
    return await job(signal);
  } finally {
    counts.alive--;
    aliveOf.set(conn.id, aliveOf.get(conn.id) - 1);
    if (aliveOf.get(conn.id) === 0) aliveOf.delete(conn.id);
    counts.finallys++;
  }
}

/** Ends with the time, or with the signal. */
function untilAborted(signal, time) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, time);
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", end, { once: true });
  });
}

const server = new Server({ logger: quiet(), ...given });
server.register({
  echo(token) {
    counts.executed++;
    executions.set(token.n, (executions.get(token.n) ?? 0) + 1);
    return answerTo(token);
  },
  add: (a, b) => a + b,
  async *items(caller, count, pause) {
    counts.generators++;
    try {
      for (let i = 0; i < count; i++) {
        yield { caller, i };
        if (pause > 0) await sleep(pause);
      }
    } finally {
      counts.generators--;
      counts.finallys++;
    }
  },
  /** Does not look at its signal. */
  stubborn: (time) => counted(() => sleep(time)),
  patient: (time) => counted((signal) => untilAborted(signal, time)),
  async *big(size, count) {
    const chunk = Buffer.alloc(size, 7);
    for (let i = 0; i < count; i++) yield chunk;
  },
  blob: (size) => Buffer.alloc(size, 7),
  block(time) {
    const until = performance.now() + time;
    while (performance.now() < until) blocked++;
    return blocked > 0;
  },
});
server.registerChannel(async function talk(channel) {
  for await (const message of channel) await channel.write(message);
});
if (crypto !== undefined) server.loadProcessor([new ServerCryptoProcessor(crypto, { now: () => Date.now() })]);

const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
const address = await server.listen({ port });
answer(
  {
    stats: () => ({
      ...server.stats(),
      ...counts,
      loopP99: delay.percentile(99) / 1e6,
      resources: process.getActiveResourcesInfo().length,
    }),
    /** Tokens of calls that ran, and how often. */
    executions: () => [...executions],
    forget() {
      executions.clear();
      Object.assign(counts, { executed: 0, maxAliveOfOne: Math.max(0, ...aliveOf.values()), aborted: 0, finallys: 0 });
      delay.reset();
    },
    /** The wall clock of this process jumps; the monotonic one, as the kernel's, does not. */
    jump(offset) {
      const real = Date.now.bind(Date);
      Date.now = () => real() + offset;
    },
    shutdown: (graceMs) => server.shutdown({ graceMs }),
  },
  { port: address.port, address: server.address },
);
// Nothing else may keep the process: it ends by itself once the server has stopped.
process.channel.unref();
if (forever) {
  await server.runForever();
  process.send({ id: "last", value: { executions: [...executions], ...counts } });
}

function quiet() {
  const none = () => {};
  // Why a client was refused is told to nobody else.
  const debug = ({ reason }) => {
    if (reason !== undefined) counts.refusal = reason;
  };
  return { trace: none, debug, info: none, warn: none, error: none, fatal: none, child: quiet };
}

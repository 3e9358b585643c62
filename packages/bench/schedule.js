const { join } = require("node:path");
const { load } = require("./contenders");
const { installed } = require("./installed");
const { Side } = require("./side");

/** What it takes to start a server and a client and to end them, about. */
const START_MS = 700;

/** Who fails so often is not asked again. */
const PATIENCE = 2;

/**
 * Measures contenders at a workload, in rounds one after the other and every second time in reverse order. Resolves with
 * the rounds: what was found, by the contender's name. Who cannot do it is left out; who fails is there with its error.
 */
async function rounds(workload, contenders, settings, onResult) {
  const failures = new Map(contenders.map((contender) => [contender, 0]));
  const all = [];
  const pace = paceOf(workload, settings);
  for (let round = 0; round < pace.rounds; round++) {
    const results = {};
    const order = contenders.filter(
      (contender) => failures.get(contender) < PATIENCE && round < roundsOf(contender, pace),
    );
    if (round % 2 === 1) order.reverse();
    for (const contender of order) {
      const measure = measures[workload.kind] ?? steady;
      const result = await measure(workload, contender, pace).catch(({ message }) => ({ error: message }));
      if (result === undefined) failures.set(contender, PATIENCE);
      else results[contender.name] = result;
      if (result?.error !== undefined) failures.set(contender, failures.get(contender) + 1);
      onResult(contender, round, result);
    }
    all.push(results);
  }
  return all;
}

/** Settings for a workload, which may ask for less. */
function paceOf(workload, settings) {
  const least = (name) => Math.min(settings[name], workload[name] ?? settings[name]);
  return { ...settings, rounds: least("rounds"), warmUp: least("warmUp"), ms: least("ms") };
}

/** In how many rounds a contender takes part. */
function roundsOf(contender, { rounds }) {
  return Math.min(rounds, contender.rounds ?? rounds);
}

/** Milliseconds that a contender's part of a workload takes, roughly: for a guess at what is left. */
function expected(workload, contender, settings) {
  const pace = paceOf(workload, settings);
  const work = { idle: workload.connections, cold: 2 * START_MS }[workload.kind] ?? warmUpOf(workload, pace) + pace.ms;
  return roundsOf(contender, pace) * (START_MS + work);
}

/** Calls or messages over a time, in processes that nobody used before. */
async function steady(workload, contender, pace) {
  return withServer(workload, contender, async (server, address) => {
    const clients = await startClients(workload, contender, address);
    if (clients === undefined) return undefined;
    try {
      await Promise.all(clients.map((client) => warm(client, warmUpOf(workload, pace))));
      const before = await server?.ask({});
      const results = await Promise.all(clients.map((client) => client.ask({ ms: pace.ms })));
      const after = await server?.ask({});
      return { ...together(results), ...(server && { serverCpu: after.cpu - before.cpu }) };
    } finally {
      await Promise.all(clients.map((client) => client.stop()));
    }
  });
}

/** Runs until a client has worked for so long: of a second on a busy machine it may have got a fifth. */
async function warm(client, ms) {
  const end = performance.now() + 5 * ms;
  let worked = 0;
  while (worked < ms && performance.now() < end) worked += (await client.ask({ ms: ms / 4 })).cpu * 1_000;
}

/** Milliseconds that each client has to warm up with: of its calls each of several servers gets a part. */
function warmUpOf({ clients = 1, servers = 1 }, { warmUp }) {
  return (warmUp * Math.max(clients, servers)) / clients;
}

/** What clients found that ran at the same time, as if they were one; quantiles are those of the first. */
function together(results) {
  const sum = (value) => results.reduce((total, result) => total + value(result), 0);
  return {
    ...results[0],
    count: sum(({ count }) => count),
    rate: sum(({ rate }) => rate),
    cpu: sum(({ cpu }) => cpu),
  };
}

/** Memory of the server for each connection, after its first call and garbage collection. */
async function idle(workload, contender) {
  if (load(contender.name).inProcess) return undefined;
  return withServer(workload, contender, async (server, address) => {
    const [client] = await startClients(workload, contender, address);
    try {
      const before = await server.ask({ memory: true });
      const { count } = await client.ask({});
      const after = await server.ask({ memory: true });
      return { kib: (after.rss - before.rss) / 1024 / count };
    } finally {
      await client.stop();
    }
  });
}

/** A client's process from its start to the first finished call; the time that its packages take to load; their size. */
async function cold(workload, contender) {
  const { name, file, packages } = contender;
  if (load(name).inProcess) return undefined;
  return withServer(workload, contender, async (_, address) => {
    const start = async () => {
      const begin = performance.timeOrigin + performance.now();
      const { at } = await once("cold.js", [name, JSON.stringify(address)]);
      return at - begin;
    };
    // The first finds a server that has not answered yet, and files that the disk has not read.
    await start();
    const ms = await start();
    if (packages === undefined) return { ms };
    const from = join(__dirname, "contenders", file);
    const { ms: importMs } = await once("import.js", [from, ...packages]);
    return { ms, importMs, installed: installed(from, packages) };
  });
}

const measures = { idle, cold };

/** Runs `use(server, address)` beside a contender's server; without either if it serves in the client's process. */
async function withServer(workload, { name }, use) {
  if (load(name).inProcess) return use(undefined, null);
  const server = new Side("server.js", [name, JSON.stringify(workload)], ["--expose-gc"]);
  try {
    const { address } = await server.next();
    return await use(server, address);
  } catch (error) {
    error.message += server.output;
    throw error;
  } finally {
    await server.stop();
  }
}

/** Clients that are connected and whose results are right; undefined if they cannot do it. */
async function startClients(workload, { name }, address) {
  const args = [name, JSON.stringify(workload), JSON.stringify(address)];
  const clients = Array.from({ length: workload.clients ?? 1 }, () => new Side("client.js", args));
  try {
    const states = await Promise.all(clients.map((client) => client.next()));
    if (states.every(({ able }) => able)) return clients;
    await Promise.all(clients.map((client) => client.stop()));
  } catch (error) {
    await Promise.all(clients.map((client) => client.stop()));
    throw error;
  }
}

/** What a process tells, which is all that it is for. */
async function once(script, args) {
  const side = new Side(script, args);
  try {
    return await side.next();
  } finally {
    await side.stop();
  }
}

module.exports = { expected, paceOf, rounds, roundsOf };

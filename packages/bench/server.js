// A contender's server in a process of its own, or in several behind one port: `server.js NAME WORKLOAD`. Tells its
// address, then to each message what it has used: of the processors, or its memory, if it is asked for `memory`.
const cluster = require("node:cluster");
const { load } = require("./contenders");
const { cpuSeconds } = require("./measure");

async function main(name, workloadJson) {
  const workload = JSON.parse(workloadJson);
  if (cluster.isPrimary && workload.servers > 1) return several(workload.servers);
  const contender = load(name);
  process.on("message", ({ memory }) => process.send(used(contender, memory)));
  process.send({ address: await contender.serve(workload) });
}

/** What this process has used, and others for it. */
function used(contender, memory) {
  const { cpu = 0, rss = 0 } = contender.elsewhere?.() ?? {};
  if (!memory) return { cpu: cpuSeconds() + cpu };
  // Only for memory: with what is collected, V8 forgets code that it had optimised, for shapes that no object has just then.
  global.gc();
  return { rss: process.memoryUsage.rss() + rss };
}

/** Starts workers that listen where the first one does, and answers for all of them. */
async function several(count) {
  const workers = [];
  let address;
  while (workers.length < count) {
    const worker = cluster.fork();
    workers.push(worker);
    ({ address } = await next(worker));
  }
  process.on("message", async (message) => {
    const all = workers.map((worker) => {
      const answer = next(worker);
      worker.send(message);
      return answer;
    });
    process.send({ cpu: (await Promise.all(all)).reduce((sum, { cpu }) => sum + cpu, 0) });
  });
  process.send({ address });
}

function next(worker) {
  return new Promise((resolve) => worker.once("message", resolve));
}

process.on("disconnect", () => process.exit());
void main(...process.argv.slice(2));

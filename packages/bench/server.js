// A contender's server in a process of its own, or in several behind one port: `server.js NAME WORKLOAD`. Tells its
// address, then to each message what it has used.
const cluster = require("node:cluster");
const { load } = require("./contenders");
const { cpuSeconds } = require("./measure");

async function main(name, workloadJson) {
  const workload = JSON.parse(workloadJson);
  if (cluster.isPrimary && workload.servers > 1) return several(workload.servers);
  const contender = load(name);
  process.on("message", () => process.send(used(contender)));
  process.send({ address: await contender.serve(workload) });
}

/** What this process has used, and others for it. */
function used(contender) {
  global.gc?.();
  const { cpu = 0, rss = 0 } = contender.elsewhere?.() ?? {};
  return { cpu: cpuSeconds() + cpu, rss: process.memoryUsage.rss() + rss };
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
    process.send((await Promise.all(all)).reduce((sum, { cpu, rss }) => ({ cpu: sum.cpu + cpu, rss: sum.rss + rss })));
  });
  process.send({ address });
}

function next(worker) {
  return new Promise((resolve) => worker.once("message", resolve));
}

process.on("disconnect", () => process.exit());
void main(...process.argv.slice(2));

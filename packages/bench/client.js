// A contender's client in a process of its own: `client.js NAME WORKLOAD ADDRESS`. Runs the workload for as long as each
// message says, and answers with what it took.
const { load } = require("./contenders");
const { prepare } = require("./workloads");

async function main(name, workload, address) {
  const contender = load(name);
  const where = JSON.parse(address) ?? (await contender.serve(JSON.parse(workload)));
  const client = await contender.connect(where);
  const { operation } = JSON.parse(workload);
  if (client[operation] === undefined) return void process.send({ able: false });
  const task = prepare(client, JSON.parse(workload));
  await task.check();
  process.on("message", async ({ ms }) => process.send(await task.run(ms)));
  process.send({ able: true });
}

process.on("disconnect", () => process.exit());
void main(...process.argv.slice(2));

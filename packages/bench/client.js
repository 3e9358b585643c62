// A contender's client in a process of its own: `client.js NAME WORKLOAD ADDRESS`. Runs the workload for as long as each
// message says, and answers with what it took.
const { load } = require("./contenders");
const { prepare } = require("./task");

async function main(name, workloadJson, addressJson) {
  const workload = JSON.parse(workloadJson);
  const contender = load(name);
  const address = JSON.parse(addressJson) ?? (await contender.serve(workload));
  const open = () => contender.connect(address);
  const clients = [];
  for (let i = 0; i < (workload.kind === "idle" ? 1 : (workload.connections ?? 1)); i++) clients.push(await open());
  const task = prepare(clients, workload, open);
  if (task === undefined) return void process.send({ able: false });
  await task.check();
  process.on("message", async ({ ms }) => process.send(await task.run(ms)));
  process.send({ able: true });
}

process.on("disconnect", () => process.exit());
void main(...process.argv.slice(2));

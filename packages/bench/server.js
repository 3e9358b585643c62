// A contender's server in a process of its own: `server.js NAME SETTINGS`. Tells its address, then what it has used.
const { load } = require("./contenders");
const { cpuSeconds } = require("./measure");

async function main(name, settings) {
  const contender = load(name);
  process.send({ address: await contender.serve(JSON.parse(settings)) });
  process.on("message", () => {
    global.gc?.();
    process.send({ cpu: cpuSeconds() + (contender.cpuElsewhere?.() ?? 0), rss: process.memoryUsage.rss() });
  });
}

process.on("disconnect", () => process.exit());
void main(...process.argv.slice(2));

// A client that makes one call, as soon as it can: `cold.js NAME ADDRESS`. Tells when the call was finished.
const { load } = require("./contenders");

async function main(name, address) {
  const client = await load(name).connect(JSON.parse(address));
  await new Promise((resolve, reject) => client.sum(40, 2, resolve)?.then(resolve, reject));
  process.send({ at: performance.timeOrigin + performance.now() });
}

process.on("disconnect", () => process.exit());
void main(...process.argv.slice(2));

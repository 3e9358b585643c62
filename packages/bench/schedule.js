const { load } = require("./contenders");
const { Side } = require("./side");

/**
 * Measures contenders at a workload, `rounds` times one after the other and every second time in reverse order. Resolves
 * with the rounds: by contender what its client found, and the CPU seconds of the server. Who cannot do it is left out.
 */
async function rounds(workload, contenders, { rounds: count, warmUp, ms }, onResult) {
  const able = new Set(contenders);
  const all = [];
  for (let round = 0; round < count; round++) {
    const results = {};
    const order = round % 2 === 0 ? [...able] : [...able].reverse();
    for (const contender of order) {
      const result = await measure(workload, contender, warmUp, ms).catch((error) => ({ error: error.message }));
      if (result === undefined) able.delete(contender);
      else results[contender.name] = result;
      onResult(contender, round, result);
    }
    all.push(results);
  }
  return all;
}

/** One contender, once, in two processes that nobody used before. */
async function measure(workload, { name }, warmUp, ms) {
  const settings = JSON.stringify(workload);
  const server = load(name).inProcess ? undefined : new Side("server.js", [name, settings]);
  let client;
  try {
    const { address } = (await server?.next()) ?? {};
    client = new Side("client.js", [name, settings, JSON.stringify(address ?? null)]);
    if (!(await client.next()).able) return undefined;
    await client.ask({ ms: warmUp });
    const before = await server?.ask({});
    const result = await client.ask({ ms });
    const after = await server?.ask({});
    return { ...result, ...(server && { serverCpu: after.cpu - before.cpu }) };
  } catch (error) {
    error.message += server?.output ?? "";
    throw error;
  } finally {
    await client?.stop();
    await server?.stop();
  }
}

module.exports = { rounds };

"use strict";

const { serialize } = require("node:v8");

/**
 * What runs in the threads of `worker.ts`. Plain JavaScript, as a thread can load neither a TypeScript source nor what
 * the bundle around it renamed; it is published as it stands here, so `dist/index.js` finds it too.
 */

/** @typedef {import("./worker").WorkerTask} WorkerTask */

/** @type {Map<string, Function | Promise<Function>>} */
const functions = new Map();

/**
 * Runs one function and gives the reply as bytes, since only here can be told that a value has no clone. What the
 * function throws is part of the reply: a clone of an error loses all but its message.
 *
 * @param {{ task: WorkerTask, args: unknown[] }} job
 * @returns {Promise<Uint8Array>} a serialized `Reply`
 */
exports.run = async ({ task, args }) => {
  /** @type {import("./worker").Reply} */
  let reply;
  try {
    const fn = await find(task);
    reply = { value: await fn(...args) };
  } catch (error) {
    reply = { error: describe(error) };
  }
  try {
    return serialize(reply);
  } catch (error) {
    return serialize({ error: { uncloneable: error.message } });
  }
};

/** @param {WorkerTask} task */
function find(task) {
  const key = task.source ?? `${task.url} ${task.name}`;
  let fn = functions.get(key);
  if (fn === undefined) {
    fn = task.source === undefined ? load(task.url, task.name) : compile(task.source);
    functions.set(key, fn);
  }
  return fn;
}

/**
 * The function sees the globals and nothing of this file; it can import what Node brings along.
 *
 * @param {string} source
 */
function compile(source) {
  // Not a vm.Script: import() in one is experimental, and says so on standard error.
  return new Function(`"use strict"; return ${source};`)();
}

/**
 * @param {string} url
 * @param {string} name
 */
async function load(url, name) {
  const module = await import(url);
  // The exports of a CommonJS module that nobody could foresee are all in its default export.
  for (const exports of [module, module.default]) {
    if (exports == null || !Object.hasOwn(exports, name)) continue;
    if (typeof exports[name] === "function") return exports[name];
  }
  throw new TypeError(`${url} does not export a function ${name}`);
}

/** @param {any} error */
function describe(error) {
  if (!(error instanceof Error)) return { thrown: error };
  const { name, message, stack } = error;
  if (!(Symbol.for("rap.error") in error)) return { name, message, stack };
  const { code, reason, data, details, retryAfterMs, metadata } = error;
  return { message, stack, rap: { code, reason, data, details, retryAfterMs }, metadata: [...(metadata ?? [])] };
}

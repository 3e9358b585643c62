"use strict";

/**
 * What `modules.ts` asks of Node's module loaders. Plain JavaScript, as `import()` in a TypeScript source is not always
 * Node's: Jest puts its own in its place. Published as it stands here, so `dist/index.js` finds it too.
 */

/**
 * Evaluates the module behind a URL, unless that was done before.
 *
 * @param {string} url
 * @returns {Promise<Record<string, unknown>>} its exports
 */
exports.importModule = (url) => import(url);

/**
 * Lets Node read a CommonJS file again, which no URL can make it do.
 *
 * @param {string} file
 */
exports.forget = (file) => {
  delete require.cache[file];
};

const { execFileSync } = require("node:child_process");
const { existsSync, lstatSync, readdirSync, readFileSync, realpathSync } = require("node:fs");
const { dirname, join, sep } = require("node:path");

/** What installing packages puts on the disk: they and all that they depend on, as files that `file` would load. */
function installed(file, packages) {
  const found = new Map();
  for (const name of packages) collect(name, dirname(file), found);
  const bytes = [...found.keys()].map((folder) => (isOurs(folder) ? packedBytes(folder) : bytesIn(folder)));
  return { packages: found.size, bytes: bytes.reduce((sum, size) => sum + size, 0) };
}

function collect(name, from, found) {
  const folder = find(name, from);
  if (folder === undefined || found.has(folder)) return;
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  found.set(folder, manifest);
  const { dependencies = {}, optionalDependencies = {}, peerDependencies = {}, peerDependenciesMeta = {} } = manifest;
  // npm installs peers that are not optional.
  const peers = Object.keys(peerDependencies).filter((peer) => peerDependenciesMeta[peer]?.optional !== true);
  for (const next of [...Object.keys({ ...dependencies, ...optionalDependencies }), ...peers]) {
    collect(next, folder, found);
  }
}

/** The folder of a package that a file in `from` would load. */
function find(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, "node_modules", name);
    if (existsSync(join(candidate, "package.json"))) return realpathSync(candidate);
    if (folder === dirname(folder)) return undefined;
  }
}

/** A package of this repository is a link to its sources. */
function isOurs(folder) {
  return !folder.includes(`${sep}node_modules${sep}`);
}

/** What npm would publish of a package. */
function packedBytes(folder) {
  const [{ unpackedSize }] = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
      cwd: folder,
      stdio: ["ignore", "pipe", "ignore"],
    }),
  );
  return unpackedSize;
}

/** The files below a folder, without packages inside, which are counted by themselves. */
function bytesIn(folder) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) bytes += entry.name === "node_modules" ? 0 : bytesIn(path);
    else bytes += lstatSync(path).size;
  }
  return bytes;
}

module.exports = { installed };

const { execFileSync } = require("node:child_process");
const { copyFileSync, readFileSync } = require("node:fs");
const { join } = require("node:path");

const LOCK = join(__dirname, "package-lock.json");
/** The lock file that was installed. */
const INSTALLED = join(__dirname, "node_modules", ".installed-lock.json");

/** Installs the peers exactly as locked, unless they are. Runs none of their scripts. */
function install() {
  if (read(LOCK) === read(INSTALLED)) return;
  console.log("installing the peers");
  execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: __dirname, stdio: "inherit" });
  copyFileSync(LOCK, INSTALLED);
}

function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

module.exports = { install };

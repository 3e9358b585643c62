import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const children = new Set();

/** A program of this folder in a process of its own, which answers what it is asked. */
export class Child {
  #asks = new Map();
  #next = 0;
  #process;
  #ready;
  /** What it said as it ended, if it did. */
  last = undefined;
  stderr = "";

  /** Starts `file` with `options`; `prefix` is a command to run it under, such as one that lowers a limit. */
  static async start(file, options = {}, { prefix = [], nodeArgs = [], env = {} } = {}) {
    const child = new Child(file, options, prefix, nodeArgs, env);
    child.hello = await child.#ready;
    return child;
  }

  constructor(file, options, prefix, nodeArgs, env) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    const [command, ...args] = [...prefix, process.execPath, ...nodeArgs, path, JSON.stringify(options)];
    const stdio = ["ignore", "inherit", "pipe", "ipc"];
    this.#process = spawn(command, args, { stdio, env: { ...process.env, ...env } });
    children.add(this.#process);
    // Not "exit": its last words may come after that.
    this.exit = once(this.#process, "close");
    this.exit.then(() => {
      children.delete(this.#process);
      for (const { reject } of this.#asks.values()) reject(new Error(`${file} is gone: ${this.stderr.slice(0, 500)}`));
      this.#asks.clear();
    });
    this.#process.stderr.on("data", (text) => {
      this.stderr = (this.stderr + text).slice(-10_000);
    });
    this.#ready = new Promise((resolve, reject) => this.#asks.set("ready", { resolve, reject }));
    this.#process.on("message", ({ id, value, error }) => {
      if (id === "last") this.last = value;
      const asked = this.#asks.get(id);
      this.#asks.delete(id);
      if (error !== undefined) asked?.reject(new Error(error));
      else asked?.resolve(value);
    });
  }

  get pid() {
    return this.#process.pid;
  }

  get running() {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  ask(name, ...args) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#asks.set(id, { resolve, reject });
      this.#process.send({ id, name, args }, (error) => error && reject(error));
    });
  }

  kill(signal = "SIGKILL") {
    this.#process.kill(signal);
  }

  async end() {
    if (!this.running) return;
    this.kill();
    await this.exit;
  }

  /** The kernel's own numbers. */
  get rss() {
    return this.#status("VmRSS");
  }

  /** The most since `resetPeak`. */
  get peakRss() {
    return this.#status("VmHWM");
  }

  resetPeak() {
    writeFileSync(`/proc/${this.pid}/clear_refs`, "5");
    return this.rss;
  }

  get fds() {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Milliseconds of CPU that the process has used. */
  get cpu() {
    const fields = readFileSync(`/proc/${this.pid}/stat`, "utf8").split(") ")[1].split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  #status(field) {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) * 1024;
  }
}

process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

/** In a child: says that it is ready, and answers. */
export function answer(handlers, hello) {
  process.on("message", async ({ id, name, args }) => {
    try {
      process.send({ id, value: await handlers[name](...args) });
    } catch (error) {
      process.send({ id, error: String(error?.stack ?? error) });
    }
  });
  // Whoever started it is gone.
  process.on("disconnect", () => process.exit(1));
  process.send({ id: "ready", value: hello });
}

export const options = () => JSON.parse(process.argv[2] ?? "{}");

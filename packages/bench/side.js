const { fork } = require("node:child_process");
const { once } = require("node:events");
const { join } = require("node:path");

/** Nothing that a process is asked for takes so long. */
const LIMIT_MS = 60_000;

/** A process of the benchmark, which answers each message with one. */
class Side {
  #child;
  #gone;
  #output = "";

  constructor(script, args, nodeOptions = []) {
    this.#child = fork(join(__dirname, script), args, { execArgv: nodeOptions, silent: true });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on("data", (text) => {
        this.#output += text;
      });
    }
    this.#gone = once(this.#child, "exit").then(([code, signal]) => {
      throw new Error(`${script} ${args[0]} ended with ${code ?? signal}\n${this.#output}`);
    });
    this.#gone.catch(() => undefined);
  }

  /** What it wrote, for the case that it fails. */
  get output() {
    return this.#output;
  }

  /** The next message. Fails if the process ends, or says nothing for too long. */
  async next() {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${LIMIT_MS / 1_000} s`)), LIMIT_MS);
    });
    try {
      const [message] = await Promise.race([once(this.#child, "message"), this.#gone, late]);
      return message;
    } finally {
      clearTimeout(timer);
    }
  }

  ask(message) {
    const answer = this.next();
    this.#child.send(message);
    return answer;
  }

  /** Ends the process: it exits by itself when it is left alone. */
  async stop() {
    if (this.#child.connected) this.#child.disconnect();
    const late = setTimeout(() => this.#child.kill("SIGKILL"), 2_000);
    await this.#gone.catch(() => undefined);
    clearTimeout(late);
  }
}

module.exports = { Side };

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

/** Time that the first test may take: where Redis is missing it is installed. */
export const REDIS_TIMEOUT = 180_000;
const INSTALL_TIMEOUT = 150_000;

/** A Redis of Debian's, on a loopback port of its own, without a file that outlives it. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Ends the process and removes what it left. */
  stop(): Promise<void>;
}

/** Runs a command until the input ends: so it also does not outlive a test run that was killed. */
const UNTIL_INPUT_ENDS = '"$@" & read -r _; kill $! 2>/dev/null; wait $!';

/** Starts a Redis, at `port` or any free one. Rejects with the reason if there is none and none can be installed. */
export async function startRedis(port?: number): Promise<RedisServer> {
  const program = find("redis-server") ?? (await install());
  const folder = await mkdtemp(join(tmpdir(), "rap-redis-"));
  const chosen = port ?? (await freePort());
  const options = [
    "--bind",
    "127.0.0.1",
    "--port",
    String(chosen),
    "--save",
    "",
    "--appendonly",
    "no",
    "--dir",
    folder,
  ];
  const child = spawn("sh", ["-c", UNTIL_INPUT_ENDS, "sh", program, ...options], { stdio: ["pipe", "pipe", "ignore"] });
  const gone = once(child, "exit");
  const stop = async () => {
    child.stdin.end();
    await gone;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await listening(child);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `redis://127.0.0.1:${chosen}`, port: chosen, stop };
}

/** Resolves when Redis says that it listens; rejects with all that it said if it ends or takes too long. */
async function listening(child: ChildProcess): Promise<void> {
  const said: string[] = [];
  const late = setTimeout(() => child.stdin!.end(), 10_000);
  try {
    for await (const line of createInterface({ input: child.stdout! })) {
      said.push(line);
      if (line.includes("Ready to accept connections")) {
        child.stdout!.resume();
        return;
      }
    }
    throw new Error(`redis-server did not start:\n${said.join("\n")}`);
  } finally {
    clearTimeout(late);
  }
}

/** Debian's Redis by apt-get. Other workers of Jest may want the same at the same time, and apt has locks. */
async function install(): Promise<string> {
  const aptGet = find("apt-get");
  if (process.getuid?.() !== 0 || aptGet === undefined) {
    throw new Error("redis-server is not installed, and only root can, with apt-get install redis-server");
  }
  // Level 1 keeps Debian from starting a server of its own.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const signal = AbortSignal.timeout(INSTALL_TIMEOUT);
  const apt = (...args: string[]) => promisify(execFile)(aptGet, ["-q", ...args], { env, signal });
  let failure: unknown;
  for (let attempt = 1; attempt <= 5 && !signal.aborted; attempt++) {
    try {
      await apt("update").catch(() => undefined);
      await apt("-o", "DPkg::Lock::Timeout=60", "install", "-y", "--no-install-recommends", "redis-server");
    } catch (error) {
      failure = error;
      await sleep(3_000);
    }
    const program = find("redis-server");
    if (program !== undefined) return program;
  }
  throw new Error(`redis-server could not be installed: ${String(failure)}`, { cause: failure });
}

function find(program: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/bin", "/usr/sbin"];
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

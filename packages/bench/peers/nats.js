const { execFileSync, spawn } = require("node:child_process");
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");

/** Request-reply over NATS, through Debian's `nats-server` on this machine. JSON, as its users send it. */
module.exports = () => {
  let broker;
  return {
    async serve() {
      const { connect } = require("@nats-io/transport-node");
      broker = await start();
      const connection = await connect({ servers: `127.0.0.1:${broker.port}` });
      const answer = (subject, handle) =>
        connection.subscribe(subject, {
          callback: (error, message) => {
            if (error) throw error;
            handle(message);
          },
        });
      answer("sum", (message) => {
        const [a, b] = message.json();
        message.respond(JSON.stringify(a + b));
      });
      answer("object", (message) => message.respond(JSON.stringify(message.json())));
      answer("binary", (message) => message.respond(message.data));
      answer("big", (message) => message.respond(new Uint8Array(message.json())));
      answer("items", (message) => {
        const count = message.json();
        for (let i = 0; i < count; i++) message.respond(JSON.stringify(i));
      });
      await connection.flush();
      return { port: broker.port };
    },

    /** The server's work is the broker's too. */
    elsewhere: () => used(broker.pid),

    async connect({ port }) {
      const { connect, createInbox } = require("@nats-io/transport-node");
      const connection = await connect({ servers: `127.0.0.1:${port}` });
      const timeout = 30_000;
      const request = (subject, payload) => connection.request(subject, payload, { timeout });
      /** Reads `count` messages that come at an inbox, which `ask` is given. */
      const read = (count, onMessage, ask) =>
        new Promise((resolve, reject) => {
          const inbox = createInbox();
          let received = 0;
          const subscription = connection.subscribe(inbox, {
            callback: (error, message) => {
              if (error) return void reject(error);
              onMessage(message.json());
              if (++received < count) return;
              subscription.unsubscribe();
              resolve();
            },
          });
          ask(inbox);
        });
      return {
        sum: async (a, b) => (await request("sum", JSON.stringify([a, b]))).json(),
        object: async (value) => (await request("object", JSON.stringify(value))).json(),
        binary: async (body) => (await request("binary", body)).data,
        big: async (size) => (await request("big", JSON.stringify(size))).data,
        items: (count, onItem) =>
          read(count, onItem, (reply) => connection.publish("items", JSON.stringify(count), { reply })),
        duplex: (count, onMessage) =>
          read(count, onMessage, (reply) => {
            for (let i = 0; i < count; i++) connection.publish("binary", JSON.stringify(i), { reply });
          }),
        close: () => connection.close(),
      };
    },
  };
};

/** Runs a broker that ends with this process. */
async function start() {
  const folder = mkdtempSync(join(tmpdir(), "rap-bench-nats-"));
  const config = join(folder, "nats.conf");
  writeFileSync(
    config,
    `host: 127.0.0.1\nport: -1\nports_file_dir: "${folder}"\nmax_payload: 64MB\nmax_pending: 512MB\n`,
  );
  const broker = spawn("nats-server", ["-c", config], { stdio: "ignore" });
  process.on("exit", () => {
    broker.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  const failed = new Promise((_, reject) => broker.once("error", reject));
  const ports = join(folder, `nats-server_${broker.pid}.ports`);
  return { pid: broker.pid, port: await Promise.race([failed, portIn(ports)]) };
}

async function portIn(file) {
  for (;;) {
    try {
      return Number(new URL(JSON.parse(readFileSync(file, "utf8")).nats[0]).port);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** What another process has used, from Linux; elsewhere only this process is counted. */
function used(pid) {
  if (process.platform !== "linux") return undefined;
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  const [ticks, pageSize] = ["CLK_TCK", "PAGESIZE"].map((name) => Number(execFileSync("getconf", [name])));
  return { cpu: (Number(fields[11]) + Number(fields[12])) / ticks, rss: Number(fields[21]) * pageSize };
}

const { join } = require("node:path");

const PROTO = join(__dirname, "bench.proto");
const OPTIONS = {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  // A connection of its own for each client, as the other contenders have.
  "grpc.use_local_subchannel_pool": 1,
  // A call that may be retried keeps what it writes, up to 1 MiB of it, says at once that it is written, and copies the
  // list of all that waits for each message: in a stream, the time for a message grows with their number.
  "grpc.per_rpc_retry_buffer_size": 0,
};

/** gRPC over HTTP/2 by `@grpc/grpc-js`. */
module.exports = () => ({
  async serve() {
    const grpc = require("@grpc/grpc-js");
    const server = new grpc.Server(OPTIONS);
    server.addService(load(grpc).service, {
      Sum: ({ request }, done) => done(null, { value: request.a + request.b }),
      Object: ({ request }, done) => done(null, request),
      Binary: ({ request }, done) => done(null, request),
      Big: ({ request }, done) => done(null, { body: Buffer.alloc(request.value) }),
      Items(call) {
        write(call, call.request.value);
      },
      Messages(call) {
        call.on("data", (message) => {
          if (call.write(message)) return;
          call.pause();
          call.once("drain", () => call.resume());
        });
        call.on("end", () => call.end());
      },
    });
    const port = await new Promise((resolve, reject) => {
      const credentials = grpc.ServerCredentials.createInsecure();
      server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    return { port };
  },

  async connect({ port }) {
    const grpc = require("@grpc/grpc-js");
    const client = new (load(grpc))(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), OPTIONS);
    await new Promise((resolve, reject) => {
      client.waitForReady(Date.now() + 5_000, (error) => (error ? reject(error) : resolve()));
    });
    return {
      sum: (a, b, done) => void client.Sum({ a, b }, (error, reply) => done(given(error, reply).value)),
      object: (value, done) => void client.Object(value, (error, reply) => done(given(error, reply))),
      binary: (body, done) => void client.Binary({ body }, (error, reply) => done(given(error, reply).body)),
      big: (value, done) => void client.Big({ value }, (error, reply) => done(given(error, reply).body)),
      items: (value, onItem) => read(client.Items({ value }), onItem),
      duplex(count, onMessage) {
        const call = client.Messages();
        write(call, count);
        return read(call, onMessage);
      },
      close: () => client.close(),
    };
  },
});

function load(grpc) {
  const { loadSync } = require("@grpc/proto-loader");
  return grpc.loadPackageDefinition(loadSync(PROTO, { keepCase: true })).bench.Bench;
}

function given(error, reply) {
  if (error) throw error;
  return reply;
}

function read(call, onMessage) {
  return new Promise((resolve, reject) => {
    call.on("data", ({ value = 0 }) => onMessage(value));
    call.on("end", resolve);
    call.on("error", reject);
  });
}

/** Writes numbers as fast as the call takes them. */
function write(call, count) {
  let sent = 0;
  const go = () => {
    while (sent < count) if (!call.write({ value: sent++ })) return void call.once("drain", go);
    call.end();
  };
  go();
}

const { Decoder, Encoder } = require("@msgpack/msgpack");
const { dial, listen } = require("./endpoint");
const { Credit, Inbox } = require("./flow");
const { Frames, LARGE_BYTES } = require("./frames");
const { Wheel } = require("./wheel");

const OPEN = 1;
const RESULT = 2;
const ITEM = 3;
const END = 4;
const CREDIT = 5;
const CANCEL = 6;

const HEAD_BYTES = 5;
const TIMEOUT_MS = 30_000;

const encoder = new Encoder();
const decoder = new Decoder();
const wheel = new Wheel();

/**
 * L2 with the state that any framework must keep, and the envelope written by hand: promises, calls in flight on both
 * sides with a context each, a signal that is made when asked for, a wheel of deadlines, credits for streams, and large
 * binaries that are not copied. No validation, error mapping, tracing or defence.
 */
module.exports = (options) => ({
  serve: () => listen((socket) => new Served(socket), options),

  async connect(address) {
    const caller = new Caller(await dial(address));
    return {
      sum: (a, b) => caller.call("sum", [a, b]),
      object: (value) => caller.call("echo", [value]),
      binary: (bytes) => caller.call("echo", [bytes]),
      big: (size) => caller.call("bytes", [size]),
      async items(count, onItem) {
        for await (const item of caller.open("items", [count]).inbox) onItem(item);
      },
      async duplex(count, onMessage) {
        const stream = caller.open("messages", []);
        const writing = write(stream, count);
        for await (const message of stream.inbox) onMessage(message);
        await writing;
      },
      close: () => caller.close(),
    };
  },
});

async function write(stream, count) {
  for (let i = 0; i < count; i++) {
    const wait = stream.write(i);
    if (wait !== undefined) await wait;
  }
  stream.end();
}

const functions = new Map(
  Object.entries({
    sum: ([a, b]) => a + b,
    echo: ([value]) => value,
    bytes: ([size]) => new Uint8Array(size),
    async *items([count]) {
      for (let i = 0; i < count; i++) yield i;
    },
    async *messages(_, { inbox }) {
      for await (const message of inbox) yield message;
    },
  }),
);

/** A connection's end: messages `kind, id, …, body`, the body as MessagePack. */
class Wire {
  #frames;
  #socket;

  constructor(socket, onMessage) {
    this.#socket = socket;
    this.#frames = new Frames(socket, (bytes, start, end) =>
      onMessage(bytes[start], bytes.readUInt32BE(start + 1), bytes, start + HEAD_BYTES, end),
    );
  }

  decode(bytes, start, end) {
    return decoder.decode(bytes.subarray(start, end));
  }

  send(kind, id, value) {
    if (value instanceof Uint8Array && value.length > LARGE_BYTES) {
      const head = Buffer.allocUnsafe(HEAD_BYTES + 5);
      binaryHead(head, writeHead(head, 0, kind, id), value);
      this.#frames.write(head, value);
      return;
    }
    const body = encoder.encodeSharedRef(value);
    if (body.length > LARGE_BYTES) {
      const head = Buffer.allocUnsafe(HEAD_BYTES);
      writeHead(head, 0, kind, id);
      this.#frames.write(head, body.slice());
      return;
    }
    const at = this.#frames.reserve(HEAD_BYTES + body.length);
    this.#frames.slab.set(body, writeHead(this.#frames.slab, at, kind, id));
  }

  /** Opens a call: its function, its time, its arguments. */
  open(id, name, args) {
    const size = HEAD_BYTES + 4 + 1 + name.length;
    const [first] = args;
    if (args.length === 1 && first instanceof Uint8Array && first.length > LARGE_BYTES) {
      const head = Buffer.allocUnsafe(size + 6);
      const at = writeOpen(head, 0, id, name);
      head[at] = 0x91;
      binaryHead(head, at + 1, first);
      this.#frames.write(head, first);
      return;
    }
    const body = encoder.encodeSharedRef(args);
    if (body.length > LARGE_BYTES) {
      const head = Buffer.allocUnsafe(size);
      writeOpen(head, 0, id, name);
      this.#frames.write(head, body.slice());
      return;
    }
    const at = this.#frames.reserve(size + body.length);
    this.#frames.slab.set(body, writeOpen(this.#frames.slab, at, id, name));
  }

  /** A message without a body. */
  signal(kind, id, number) {
    const at = this.#frames.reserve(HEAD_BYTES + (number === undefined ? 0 : 4));
    const next = writeHead(this.#frames.slab, at, kind, id);
    if (number !== undefined) this.#frames.slab.writeUInt32BE(number, next);
  }

  close() {
    this.#socket.destroy();
  }
}

function writeHead(buffer, at, kind, id) {
  buffer[at] = kind;
  return buffer.writeUInt32BE(id, at + 1);
}

function writeOpen(buffer, at, id, name) {
  at = writeHead(buffer, at, OPEN, id);
  at = buffer.writeUInt32BE(TIMEOUT_MS, at);
  buffer[at] = name.length;
  return at + 1 + buffer.latin1Write(name, at + 1, name.length);
}

function binaryHead(buffer, at, bytes) {
  buffer[at] = 0xc6;
  return buffer.writeUInt32BE(bytes.length, at + 1);
}

/** The sending side of a stream. */
class Sender {
  #wire;
  #id;
  credit = new Credit();

  constructor(wire, id) {
    this.#wire = wire;
    this.#id = id;
  }

  /** Sends a message; a promise only if it has to wait for the reader. */
  write(value) {
    if (!this.credit.take()) return this.credit.wait().then(() => this.#wire.send(ITEM, this.#id, value));
    this.#wire.send(ITEM, this.#id, value);
  }

  end() {
    this.#wire.signal(END, this.#id);
  }
}

/** A client's connection. */
class Caller {
  #pending = new Map();
  #id = 0;
  #wire;

  constructor(socket) {
    this.#wire = new Wire(socket, (kind, id, bytes, start, end) => {
      const call = this.#pending.get(id);
      if (call === undefined) return;
      if (kind === RESULT) {
        this.#pending.delete(id);
        wheel.remove(call);
        call.resolve(this.#wire.decode(bytes, start, end));
      } else if (kind === ITEM) call.inbox.push(this.#wire.decode(bytes, start, end));
      else if (kind === CREDIT) call.sender.credit.grant(bytes.readUInt32BE(start));
      else {
        this.#pending.delete(id);
        call.inbox.end();
      }
    });
  }

  call(name, args) {
    return new Promise((resolve, reject) => {
      const call = new Call(this, ++this.#id, resolve, reject);
      this.#pending.set(call.id, call);
      wheel.add(call, TIMEOUT_MS);
      this.#wire.open(call.id, name, args);
    });
  }

  open(name, args) {
    const id = ++this.#id;
    const sender = new Sender(this.#wire, id);
    const inbox = new Inbox((count) => this.#wire.signal(CREDIT, id, count));
    this.#pending.set(id, { inbox, sender });
    this.#wire.open(id, name, args);
    return { inbox, write: (value) => sender.write(value), end: () => sender.end() };
  }

  late(call) {
    this.#pending.delete(call.id);
    this.#wire.signal(CANCEL, call.id);
    call.reject(new Error("too late"));
  }

  close() {
    this.#wire.close();
  }
}

/** A call that waits for its result. */
class Call {
  before;
  after;

  constructor(caller, id, resolve, reject) {
    this.caller = caller;
    this.id = id;
    this.resolve = resolve;
    this.reject = reject;
  }

  late() {
    this.caller.late(this);
  }
}

/** What a function may ask about its call. */
class Context {
  #abort;
  inbox;
  sender;
  before;
  after;

  constructor(id, timeout) {
    this.id = id;
    this.timeout = timeout;
  }

  get signal() {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  late() {
    this.cancel();
  }

  cancel() {
    this.#abort?.abort();
  }
}

/** A server's connection. */
class Served {
  #inFlight = new Map();
  #wire;

  constructor(socket) {
    this.#wire = new Wire(socket, (kind, id, bytes, start, end) => {
      if (kind === OPEN) void this.#run(id, bytes, start, end);
      else if (kind === ITEM) this.#inFlight.get(id)?.inbox.push(this.#wire.decode(bytes, start, end));
      else if (kind === CREDIT) this.#inFlight.get(id)?.sender.credit.grant(bytes.readUInt32BE(start));
      else if (kind === END) this.#inFlight.get(id)?.inbox.end();
      else this.#inFlight.get(id)?.cancel();
    });
  }

  async #run(id, bytes, start, end) {
    const context = new Context(id, bytes.readUInt32BE(start));
    const from = start + 5;
    const to = from + bytes[from - 1];
    const name = bytes.latin1Slice(from, to);
    this.#inFlight.set(id, context);
    wheel.add(context, context.timeout);
    if (name === "items" || name === "messages") {
      context.inbox = new Inbox((count) => this.#wire.signal(CREDIT, id, count));
      context.sender = new Sender(this.#wire, id);
    }
    const result = await functions.get(name)(this.#wire.decode(bytes, to, end), context);
    if (context.sender === undefined) this.#wire.send(RESULT, id, result);
    else {
      for await (const item of result) {
        const wait = context.sender.write(item);
        if (wait !== undefined) await wait;
      }
      context.sender.end();
    }
    this.#inFlight.delete(id);
    wheel.remove(context);
  }
}

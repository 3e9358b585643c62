import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Client } from "@rap/client";
import {
  connMiddleware,
  type MessageMiddleware,
  messageMiddleware,
  RapError,
  type RequestContext,
  Server,
} from "@rap/server";

let night = false;

/** Sees every connection: `next` admits it and resolves when it is over, `close` refuses it. */
const officeHours = connMiddleware(async (conn, next) => {
  if (night) return conn.close("closed at night");
  await next();
});

/** Wraps every call. */
const timing = messageMiddleware(async (ctx, args, next) => {
  const begin = performance.now();
  try {
    return await next(args);
  } finally {
    ctx.log.info({ method: ctx.method, ms: performance.now() - begin });
  }
});

/** May change the arguments, answer itself, or turn an error into another. As a class it has a start and a stop. */
class Accounts implements MessageMiddleware {
  readonly kind = "message";
  calls = 0;

  onStart() {
    console.log("accounts: start");
  }

  async dispatch(ctx: RequestContext, args: unknown[], next: (args?: unknown[]) => Promise<unknown>) {
    this.calls++;
    if (ctx.method === "ping") return "pong";
    if (!ctx.metadata.has("x-request-id")) throw new RapError("UNAUTHENTICATED", "who asks?");
    return next(args.map((arg) => (typeof arg === "string" ? arg.trim() : arg)));
  }

  onStop() {
    console.log("accounts: stop, calls:", this.calls);
  }
}

const greet = (name: string) => `hello ${name}`;

export async function main() {
  await using server = new Server().register({ greet, ping: () => "unreached" });
  server.loadMiddleware([officeHours, timing, new Accounts()]); // the first is the outermost
  const { port } = await server.listen({ port: 0 });

  await using client = new Client().addConn("localhost", port);
  await client.start();
  assert.equal(await client.invokeByName("ping"), "pong");
  await assert.rejects(client.invokeByName("greet", ["Ada"]), { code: "UNAUTHENTICATED" });

  // The client's counterpart wraps every call on its way out.
  client.use(async (call, next) => {
    call.options.metadata = { ...(call.options.metadata as object), "x-request-id": randomUUID() };
    return next(call);
  });
  console.log(await client.invokeByName("greet", [" Ada "]));

  night = true;
  await using late = new Client().addConn("localhost", port);
  await assert.rejects(late.start(), /closed at night/);
}

import { type Channel, context, Server } from "@rap/server";
import { Client, type Session } from "../src";

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** A server that says where and in which session a call arrived, and counts in the session's state. */
function newServer(): Server {
  const server = new Server();
  const count = () => {
    const state = context().session?.state;
    const n = ((state?.get("n") as number | undefined) ?? 0) + 1;
    state?.set("n", n);
    return n;
  };
  server.register({
    where: () => ({ session: context().session?.id, server: server.address }),
    count,
    async *sessions() {
      yield context().session?.id;
      yield context().session?.id;
    },
  });
  server.registerChannel(async function session(channel: Channel<unknown, unknown>) {
    await channel.write(context().session?.id);
  });
  return server;
}

interface Functions {
  where(): { session: string | undefined; server: string };
  count(): number;
  sessions(): AsyncIterable<string>;
}

async function start(servers: Server[]): Promise<Client> {
  const client = new Client();
  for (const server of servers) {
    const { port } = await server.listen({ port: 0 });
    client.addConn("127.0.0.1", port);
  }
  stops.push(() => client.stop({ graceMs: 0 }), ...servers.map((server) => () => server.shutdown({ graceMs: 0 })));
  return client.start();
}

test("all calls inside withSession go to one server and share its state, through awaits, timers and nested calls", async () => {
  const client = await start([newServer(), newServer()]);
  const remote = client.service<Functions>("default", { sessions: "stream" });
  const nested = async () => remote.where();
  await client.withSession(async (session) => {
    const seen = await Promise.all(Array.from({ length: 20 }, nested));
    await new Promise((resolve) => setTimeout(resolve, 5));
    seen.push(await remote.where());
    expect(new Set(seen.map(({ server }) => server)).size).toBe(1);
    expect(new Set(seen.map(({ session: id }) => id))).toEqual(new Set([session.id]));
    for await (const id of remote.sessions()) expect(id).toBe(session.id);
    await client.registerChannel<(c: Channel<unknown, unknown>) => Promise<void>>("session")(async (channel) => {
      expect(await channel.readBody()).toBe(session.id);
    });
  });
  expect((await remote.where()).session).toBeUndefined();
});

test("an explicit session works by option, by name, like a cursor and as a service", async () => {
  const client = await start([newServer(), newServer()]);
  const count = client.register<Functions["count"]>("count");
  await using session: Session = await client.openSession();
  expect(session.id).toMatch(/^[0-9a-f]{32}$/);
  const counts = [
    await count.with({ session })(),
    await client.invokeByName<number>("count", [], { session }),
    await session.execute(count, []),
    await session.execute<number>("count", []),
    await session.execute(() => count()),
    await session.invoke(count, []),
    await session.run(() => count()),
    await session.service<Pick<Functions, "count">>("default").count(),
  ];
  expect(counts).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test("a stream outside a session has one of its own", async () => {
  const client = await start([newServer()]);
  const ids: string[] = [];
  for (let round = 0; round < 2; round++) {
    for await (const id of client.registerGen<Functions["sessions"]>("sessions")()) ids.push(id);
  }
  expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
  expect(ids[0]).toBe(ids[1]);
  expect(ids[2]).not.toBe(ids[0]);
});

test("the server drops a session's state when it is closed, and knows no other id", async () => {
  const client = await start([newServer()]);
  const session = await client.openSession();
  await session.close();
  await session.close();
  expect(session.closed).toBe(true);
  await expect(session.execute("count", [])).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
  const forged = client.invokeByName("count", [], { metadata: { "rap-session": "0".repeat(32) } });
  await expect(forged).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
});

test("a session whose connection died fails its calls and moves to no other server", async () => {
  const servers = [newServer(), newServer()];
  const client = await start(servers);
  const session = await client.openSession();
  const { server } = await session.execute<{ server: string }>("where", []);
  await servers.find(({ address }) => address === server)!.shutdown({ graceMs: 0 });
  await expect(session.execute("where", [])).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringContaining("session"),
    maybeExecuted: false,
  });
  expect(session.closed).toBe(true);
  expect((await client.invokeByName<{ server: string }>("where")).server).not.toBe(server);
});

test("a connection takes only so many sessions", async () => {
  const client = await start([newServer()]);
  const sessions = await Promise.all(Array.from({ length: 16 }, () => client.openSession()));
  await expect(client.openSession()).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  await sessions[0]!.close();
  await (await client.openSession()).close();
});

import {
  type CallOptions,
  type Channel,
  type Client,
  RapError,
  type RemoteChannel,
  type RemoteFn,
  type Session,
  type Stream,
} from "@rap/client";
import type { ClientSession } from "../../client/src/session";
import type { Order } from "./functions";
import {
  bodyOf,
  type CallPlan,
  type CallRecord,
  type History,
  type Item,
  type SessionPlan,
  type SessionRecord,
} from "./history";
import type { Machine } from "./machine";
import type { Trace } from "./trace";

type Source = AsyncIterable<Item>;

/** Makes the calls of one client as they were planned, and keeps a record of what came of each. */
export class Caller {
  readonly #client: Client;
  readonly #machine: Machine;
  readonly #history: History;
  readonly #trace: Trace;
  readonly #unary: RemoteFn<[Order, Uint8Array], Promise<Item>>;
  readonly #stream: RemoteFn<[Order], Stream<Item>>;
  readonly #collect: RemoteFn<[Order, Source], Promise<Item>>;
  readonly #transform: RemoteFn<[Order, Source], Stream<Item>>;
  readonly #channel: RemoteChannel<Item, Item | Order>;
  /** Streams of callers that were begun and did not come to their `finally`. */
  sources = 0;
  #openSessions: ReadonlySet<ClientSession> | undefined;

  constructor(machine: Machine, client: Client, history: History, trace: Trace) {
    this.#client = client;
    this.#machine = machine;
    this.#history = history;
    this.#trace = trace;
    this.#unary = client.register<(order: Order, body: Uint8Array) => Promise<Item>>("unary");
    this.#stream = client.registerGen<(order: Order) => AsyncIterable<Item>>("stream");
    this.#collect = client.register<(order: Order, items: Source) => Promise<Item>>("collect");
    this.#transform = client.registerGen<(order: Order, items: Source) => AsyncIterable<Item>>("transform");
    this.#channel = client.registerChannel<(channel: Channel<Item | Order, Item>) => Promise<void>>("channel");
  }

  /** Makes each call, and opens each session, when its time has come. */
  plan(calls: readonly CallPlan[], sessions: readonly SessionPlan[]): void {
    const { clock } = this.#machine;
    for (const plan of calls) clock.setTimeout(() => void this.call(plan), plan.at - clock.now());
    for (const plan of sessions) clock.setTimeout(() => void this.#session(plan), plan.at - clock.now());
  }

  /** Sessions that the client has not done with. */
  get sessions(): number {
    return this.#openSessions?.size ?? 0;
  }

  async #session(plan: SessionPlan): Promise<void> {
    const { clock } = this.#machine;
    const record: SessionRecord = {
      plan,
      id: undefined,
      error: undefined,
      givenUp: false,
      closedAt: undefined,
      over: false,
    };
    this.#history.sessions.push(record);
    try {
      await this.#use(await this.#open(plan, record), record);
    } catch (error) {
      record.error = error;
    }
    record.over = true;
    if (this.#machine.alive) this.#trace.say(clock.now(), `${plan.id} ${String(record.error ?? "ok")}`);
  }

  async #open({ cancelAfter }: SessionPlan, record: SessionRecord): Promise<Session> {
    const { clock } = this.#machine;
    const abort = new AbortController();
    const cancel = clock.setTimeout(() => {
      record.givenUp = true;
      abort.abort();
    }, cancelAfter ?? Number.MAX_SAFE_INTEGER);
    try {
      return await this.#client.openSession(cancelAfter === undefined ? {} : { signal: abort.signal });
    } finally {
      clock.clearTimeout(cancel);
    }
  }

  /** Makes the session's calls; and one more when it is closed, which must fail. */
  async #use(session: Session, record: SessionRecord): Promise<void> {
    const { calls, closeAfter, implicit } = record.plan;
    record.id = session.id;
    this.#openSessions = (session as ClientSession).core.pool.sessions;
    const make = async (plan: CallPlan) => {
      await this.#sleep(plan.at);
      if (!this.#machine.alive) return;
      if (implicit) await session.run(() => this.call(plan, record));
      else await this.call(plan, record, session);
    };
    const close = async () => {
      record.closedAt ??= this.#machine.clock.now();
      await session.close();
    };
    const closeEarly = async () => {
      if (closeAfter === undefined) return;
      await this.#sleep(closeAfter);
      await close();
    };
    await Promise.all([closeEarly(), ...calls.map(make)]);
    await close();
    if (calls.length > 0) await this.call({ ...calls[0]!, ...IN_VAIN, id: `${record.plan.id}.late` }, record, session);
  }

  async call(plan: CallPlan, sessionRecord?: SessionRecord, session?: Session): Promise<void> {
    const { clock } = this.#machine;
    const record: CallRecord = {
      plan,
      session: sessionRecord,
      startedAt: clock.now(),
      settledAt: undefined,
      settled: 0,
      error: undefined,
      received: [],
      sent: 0,
      sentEnd: false,
      givenUpAt: undefined,
    };
    this.#history.calls.push(record);
    const abort = new AbortController();
    const cancel = clock.setTimeout(() => {
      if (record.settled === 0) record.givenUpAt ??= clock.now();
      abort.abort();
    }, plan.cancelAfter ?? Number.MAX_SAFE_INTEGER);
    try {
      await this.#make(record, {
        signal: plan.cancelAfter === undefined ? undefined : abort.signal,
        timeout: plan.timeout,
        waitForReady: plan.waitForReady,
        ...(session !== undefined && { session }),
      });
    } catch (error) {
      record.error = error;
    }
    clock.clearTimeout(cancel);
    if (!this.#machine.alive) return;
    record.settled++;
    record.settledAt = clock.now();
    if ((record.error as { code?: string })?.code === "DEADLINE_EXCEEDED") record.givenUpAt ??= clock.now();
    this.#trace.say(
      record.settledAt,
      `${plan.id} ${plan.kind} ${record.received.length} ${String(record.error ?? "ok")}`,
    );
  }

  #make(record: CallRecord, options: CallOptions): Promise<void> {
    const { plan } = record;
    const order = orderOf(plan);
    switch (plan.kind) {
      case "unary":
        return this.#take(record, this.#unary.with(options)(order, bodyOf(plan.id, 0, plan.bytes)));
      case "collect":
        return this.#take(record, this.#collect.with(options)(order, this.#items(record)));
      case "stream":
        return this.#read(record, this.#stream.with(options)(order));
      case "transform":
        return this.#read(record, this.#transform.with(options)(order, this.#items(record)));
      case "channel":
        return this.#converse(record, order, options);
    }
  }

  async #take(record: CallRecord, result: Promise<Item>): Promise<void> {
    this.#note(record, await result);
  }

  async #read(record: CallRecord, stream: Stream<Item>): Promise<void> {
    const { pace, leaveAfter } = record.plan;
    for await (const item of stream) {
      this.#note(record, item);
      if (record.received.length === leaveAfter) {
        record.givenUpAt ??= this.#machine.clock.now();
        return;
      }
      if (pace > 0) await this.#sleep(pace);
    }
    const after = await stream.next();
    if (after.done !== true) this.#history.violation("I4", `${record.plan.id} went on after its end`);
  }

  async #converse(record: CallRecord, order: Order, options: CallOptions): Promise<void> {
    const { items, leaveAfter, pace } = record.plan;
    const channel = await this.#channel.open(options);
    const write = async () => {
      await channel.write(order);
      for (let n = 0; n < items; n++) {
        record.sent++;
        await channel.write(itemOf(record.plan, n));
        if (pace > 0) await this.#sleep(pace);
      }
      record.sentEnd = true;
      await channel.end();
    };
    let failure: RapError | undefined;
    // The reader hears of what ends the channel, too; a message that cannot be sent does not end it.
    const written = write().catch((error: RapError) => {
      if (channel.closed) return undefined;
      failure = new RapError(error.code, error.message);
      return channel.close(failure);
    });
    for await (const item of channel) {
      this.#note(record, item);
      if (record.received.length === leaveAfter) {
        record.givenUpAt ??= this.#machine.clock.now();
        await channel.close();
        break;
      }
    }
    await written;
    await channel.waitClose();
    if (failure !== undefined) throw failure;
    if (channel.error !== undefined) throw channel.error;
  }

  #note(record: CallRecord, item: Item): void {
    record.received.push(item);
    if (this.#machine.alive) this.#history.checkUnwrapped(record.plan.id, item);
  }

  /** What the caller streams in. */
  async *#items(record: CallRecord): AsyncGenerator<Item> {
    const { items, pace } = record.plan;
    this.sources++;
    try {
      for (let n = 0; n < items; n++) {
        if (pace > 0) await this.#sleep(pace);
        record.sent++;
        yield itemOf(record.plan, n);
      }
      record.sentEnd = true;
    } finally {
      this.sources--;
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#machine.clock.setTimeout(resolve, ms));
  }
}

function orderOf({ id, items, work, bytes, stubborn, failAfter }: CallPlan): Order {
  return { id, items, work, bytes, stubborn, failAfter: failAfter ?? null };
}

function itemOf({ id, bytes }: CallPlan, n: number): Item {
  return { id, n, body: bodyOf(id, n, bytes) };
}

/** A call that nobody gives up. */
const IN_VAIN = { cancelAfter: undefined, timeout: undefined };

import { type Channel, context, RapError, type Server } from "@rap/server";
import { bodyOf, type CallPlan, type History, type Item, type Kind, type RunRecord } from "./history";
import type { Machine } from "./machine";

/** What the functions need of their caller's plan; it travels as their first argument. */
export type Order = Pick<CallPlan, "id" | "items" | "work" | "bytes" | "stubborn"> & { failAfter: number | null };

/** How many calls of each kind one connection may run at a time. */
export interface Places {
  readonly maxInFlight: number;
  readonly maxStreams: number;
  readonly maxChannels: number;
}

/** The functions that the servers of a scenario serve. Each keeps a record of what it was given and what became of it. */
export class Functions {
  readonly #machine: Machine;
  readonly #history: History;
  readonly #places: Places;
  /** Runs that have not ended, by their connection. */
  readonly #running = new Map<string, RunRecord[]>();

  constructor(machine: Machine, history: History, places: Places) {
    this.#machine = machine;
    this.#history = history;
    this.#places = places;
  }

  register(server: Server): void {
    server.register({
      unary: (order: Order, body: Uint8Array) => this.#unary(order, body),
      stream: (order: Order) => this.#stream(order),
      collect: (order: Order, items: AsyncIterable<Item>) => this.#collect(order, items),
      transform: (order: Order, items: AsyncIterable<Item>) => this.#transform(order, items),
    });
    server.registerChannel((channel: Channel<Item | Order, Item>) => this.#channel(channel), { name: "channel" });
  }

  async #unary(order: Order, body: Uint8Array): Promise<Item> {
    const run = this.#begin("unary", order);
    try {
      run.taken.push({ id: order.id, n: 0, body });
      await this.#work(order, 0);
      run.given++;
      run.completed = true;
      return itemOf(order, 0);
    } finally {
      this.#end(run);
    }
  }

  async *#stream(order: Order): AsyncGenerator<Item> {
    const run = this.#begin("stream", order);
    try {
      for (let n = 0; n < order.items; n++) {
        await this.#work(order, n);
        run.given++;
        yield itemOf(order, n);
      }
      run.completed = true;
    } finally {
      this.#end(run);
    }
  }

  async #collect(order: Order, items: AsyncIterable<Item>): Promise<Item> {
    const run = this.#begin("collect", order);
    try {
      for await (const item of items) {
        this.#take(run, item);
        await this.#work(order, run.taken.length);
      }
      run.sawEnd = true;
      run.given++;
      run.completed = true;
      return itemOf(order, run.taken.length);
    } finally {
      this.#end(run);
    }
  }

  async *#transform(order: Order, items: AsyncIterable<Item>): AsyncGenerator<Item> {
    const run = this.#begin("transform", order);
    try {
      for await (const item of items) {
        this.#take(run, item);
        await this.#work(order, item.n);
        run.given++;
        yield itemOf(order, item.n);
      }
      run.sawEnd = true;
      run.completed = true;
    } finally {
      this.#end(run);
    }
  }

  async #channel(channel: Channel<Item | Order, Item>): Promise<void> {
    // What it is to do comes as the first message.
    const order = (await channel.readBody()) as Order;
    const run = this.#begin("channel", order);
    try {
      for await (const item of channel) {
        this.#take(run, item);
        await this.#work(order, (item as Item).n);
        run.given++;
        await channel.write(itemOf(order, (item as Item).n));
      }
      run.sawEnd = true;
      run.completed = true;
    } finally {
      this.#end(run);
    }
  }

  /** Takes its time, and throws if that is what was ordered, or when nobody waits any more. */
  async #work({ work, failAfter, stubborn }: Order, n: number): Promise<void> {
    const { signal } = context();
    if (work > 0) await this.#sleep(work, stubborn ? undefined : signal);
    if (failAfter === n) throw new RapError("FAILED_PRECONDITION", "as ordered");
    if (failAfter === -1 - n) throw new Error("something private went wrong");
  }

  #sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#machine;
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        clock.clearTimeout(timer);
        reject(signal!.reason as Error);
      };
      const timer = clock.setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      if (signal?.aborted) onAbort();
      else signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #take(run: RunRecord, item: unknown): void {
    run.taken.push(item);
    this.#check(run.id, item);
  }

  #check(id: string, message: unknown): void {
    if (this.#machine.alive) this.#history.checkUnwrapped(id, message);
  }

  #begin(kind: Kind, order: Order): RunRecord {
    const { id } = order;
    this.#check(id, order);
    const { connection, session, signal } = context();
    const run: RunRecord = {
      id,
      kind,
      server: this.#machine.name,
      connection: connection.id,
      session: session?.id,
      alive: () => this.#machine.alive,
      startedAt: this.#machine.clock.now(),
      endedAt: undefined,
      abortedAt: undefined,
      taken: [],
      sawEnd: false,
      given: 0,
      completed: false,
    };
    const noteAbort = () => {
      run.abortedAt = this.#machine.clock.now();
    };
    if (signal.aborted) noteAbort();
    else signal.addEventListener("abort", noteAbort, { once: true });
    this.#history.runs.push(run);
    this.#count(run);
    return run;
  }

  /** A server may never run more calls of a connection than its limits say. */
  #count(run: RunRecord): void {
    const running = this.#running.get(run.connection) ?? [];
    this.#running.set(run.connection, running);
    running.push(run);
    const { maxInFlight, maxStreams, maxChannels } = this.#places;
    const channels = running.filter(({ kind }) => kind === "channel").length;
    const streams = running.filter(({ kind }) => kind !== "channel" && kind !== "unary").length;
    const over = [
      running.length > maxInFlight && `${running.length} calls over maxInFlight ${maxInFlight}`,
      channels > maxChannels && `${channels} channels over maxChannels ${maxChannels}`,
      streams > maxStreams && `${streams} streams over maxStreams ${maxStreams}`,
    ];
    for (const what of over) if (what !== false) this.#history.violation("I9", `${run.server} runs ${what}`);
  }

  #end(run: RunRecord): void {
    if (!this.#machine.alive) return;
    run.endedAt = this.#machine.clock.now();
    const running = this.#running.get(run.connection)!;
    running.splice(running.indexOf(run), 1);
  }
}

function itemOf({ id, bytes }: Order, n: number): Item {
  return { id, n, body: bodyOf(id, n, bytes) };
}

import type { Envelope, ProcessedCall, Processor } from "@rap/core";
import { type Awaitable, RapError } from "@rap/protocol";
import type { Chance } from "./chance";
import type { History } from "./history";
import type { Machine } from "./machine";

/** How the messages of a scenario are processed: not at all, at once, or some of them after a while. */
export type Processing = "none" | "prompt" | "slow";

/** The first value of each message that is wrapped. */
const WRAPPED = "wrapped";
/** How rarely a processor refuses a message. */
const REFUSED = 1 / 300;

/**
 * Wraps each message that leaves a machine, and unwraps each that comes: what comes unwrapped, a second time or before
 * one that was sent earlier in its call is a violation, and so is a call that is not left once after it was entered.
 */
export class Wrapping implements Processor {
  readonly kind = "processor";
  readonly #machine: Machine;
  readonly #history: History;
  readonly #chance: Chance;
  readonly #isClient: boolean;
  readonly #slow: boolean;
  readonly #entered = new Set<ProcessedCall>();
  #sent = 0;
  /** The number of the last message that came, for each call. */
  readonly #last = new Map<string, number>();

  constructor(machine: Machine, history: History, chance: Chance, isClient: boolean, slow: boolean) {
    this.#machine = machine;
    this.#history = history;
    this.#chance = chance;
    this.#isClient = isClient;
    this.#slow = slow;
  }

  /** Calls that were entered and not left. */
  get entered(): number {
    return this.#entered.size;
  }

  onRequest(message: Envelope): Awaitable<Envelope> {
    return this.#isClient ? this.#wrap(message) : this.#unwrap(message);
  }

  onResponse(message: Envelope): Awaitable<Envelope> {
    return this.#isClient ? this.#unwrap(message) : this.#wrap(message);
  }

  onContextEnter(call: ProcessedCall): void {
    if (this.#entered.has(call)) this.#say(`${call.method} was entered twice`);
    this.#entered.add(call);
  }

  onContextExit(call: ProcessedCall): void {
    if (!this.#entered.delete(call)) this.#say(`${call.method} was left without being entered`);
  }

  #wrap(message: Envelope): Awaitable<Envelope> {
    this.#mayRefuse(message.body);
    message.body = [WRAPPED, ++this.#sent, message.session ?? null, message.body];
    return this.#mayTakeLong(message);
  }

  #unwrap(message: Envelope): Awaitable<Envelope> {
    const [first, number, session, body] = (message.body as [unknown, number, string | null, unknown]) ?? [];
    if (first !== WRAPPED) {
      this.#say(`a message of ${message.method} came unwrapped`);
      return message;
    }
    this.#checkSession(message, session);
    if (!this.#isClient && message.group === "rap.session.v1" && message.method === "Close") {
      this.#history.ended.push(String((body as unknown[])[0]));
    }
    const id = idOf(body);
    if (id !== undefined) {
      const last = this.#last.get(id) ?? 0;
      if (number <= last) this.#say(`message ${number} of ${id} came after ${last}`);
      this.#last.set(id, number);
    }
    this.#mayRefuse(body);
    message.body = body;
    this.#history.unwrapped(body);
    return this.#mayTakeLong(message);
  }

  /** What the client says of a call's session the server says, too; it gives a stream without one its own. */
  #checkSession(message: Envelope, sent: string | null): void {
    const [ofClient, ofServer] = this.#isClient ? [message.session, sent] : [sent, message.session];
    if ((ofClient ?? null) !== null && ofClient !== ofServer) {
      this.#say(`a message of session ${String(ofClient)} was of ${String(ofServer)} on the server`);
    }
  }

  #mayRefuse(body: unknown): void {
    const id = idOf(body);
    if (id === undefined || !this.#machine.alive || !this.#chance.once(REFUSED)) return;
    this.#history.refused.add(id);
    if (this.#chance.once(0.5)) throw new RapError("FAILED_PRECONDITION", "refused by a processor");
    throw new Error(this.#isClient ? "a processor failed" : "something private failed");
  }

  #mayTakeLong(message: Envelope): Awaitable<Envelope> {
    if (!this.#slow || this.#chance.once(0.5)) return message;
    if (this.#chance.once(0.5)) return Promise.resolve(message);
    const ms = this.#chance.between(0.1, 5);
    return new Promise((resolve) => this.#machine.clock.setTimeout(() => resolve(message), ms));
  }

  #say(what: string): void {
    if (this.#machine.alive) this.#history.violation("I14", `${this.#machine.name}: ${what}`);
  }
}

/** The call that a message belongs to, if it is one of a scenario's calls. */
function idOf(body: unknown): string | undefined {
  const first = Array.isArray(body) ? (body[0] as unknown) : body;
  return (first as { id?: string } | null | undefined)?.id;
}

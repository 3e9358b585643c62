/** The shapes of call that a scenario makes. */
export type Kind = "unary" | "stream" | "collect" | "transform" | "channel";

/** What a call is to do; drawn before the scenario begins, so that no fault changes it. */
export interface CallPlan {
  /** Whose call it is, and which of them. */
  readonly id: string;
  readonly kind: Kind;
  /** When it is made. */
  readonly at: number;
  /** Items that the function gives, or that the caller streams in, or writes to the channel. */
  readonly items: number;
  /** Milliseconds that the function takes before its first result, and between two items. */
  readonly work: number;
  /** Milliseconds that the caller takes between two items, read or sent. */
  readonly pace: number;
  /** Bytes that go with each message. */
  readonly bytes: number;
  readonly timeout: number | undefined;
  /** When the caller cancels it, in milliseconds from its beginning. */
  readonly cancelAfter: number | undefined;
  /** After how many items the caller leaves. */
  readonly leaveAfter: number | undefined;
  /** The function throws, once it has given this many items. */
  readonly failAfter: number | undefined;
  /** The function takes no notice of being cancelled. */
  readonly stubborn: boolean;
  readonly waitForReady: boolean;
}

/** A session that a client opens, and what it does in it. */
export interface SessionPlan {
  readonly id: string;
  readonly at: number;
  /** The calls that are made in it; their times count from its opening. */
  readonly calls: readonly CallPlan[];
  /** Whether calls are made inside `run`, or are given the session. */
  readonly implicit: boolean;
  /** When its opening is given up. */
  readonly cancelAfter: number | undefined;
  /** When it is closed, whatever runs in it. Otherwise once its calls are over. */
  readonly closeAfter: number | undefined;
}

/** A session as its client saw it. */
export interface SessionRecord {
  readonly plan: SessionPlan;
  /** What the server called it; undefined while it is not open. */
  id: string | undefined;
  error: unknown;
  givenUp: boolean;
  /** When its client began to close it. */
  closedAt: number | undefined;
  /** It is closed, or was never opened. */
  over: boolean;
}

/** One message of a stream: whose it is, which one, and bytes that nobody else's message has. */
export interface Item {
  readonly id: string;
  readonly n: number;
  readonly body: Uint8Array;
}

/** A call as its caller saw it. */
export interface CallRecord {
  readonly plan: CallPlan;
  readonly session: SessionRecord | undefined;
  readonly startedAt: number;
  settledAt: number | undefined;
  /** How often it settled. */
  settled: number;
  error: unknown;
  /** What came, in order. */
  readonly received: unknown[];
  /** The caller sent so many items, and then its end. */
  sent: number;
  sentEnd: boolean;
  /** When the caller gave it up, by signal, deadline or leaving. */
  givenUpAt: number | undefined;
}

/** One execution of a function as the server saw it. */
export interface RunRecord {
  readonly id: string;
  readonly kind: Kind;
  readonly server: string;
  readonly connection: string;
  /** The id of its session; streams outside of any have one of their own. */
  readonly session: string | undefined;
  /** False once the process of the server was killed: what would have happened there did not. */
  readonly alive: () => boolean;
  readonly startedAt: number;
  endedAt: number | undefined;
  /** When its signal fired. */
  abortedAt: number | undefined;
  /** Items that it got of its caller, and whether it saw their clean end. */
  readonly taken: unknown[];
  sawEnd: boolean;
  /** Items that it gave, and whether it came to its end. */
  given: number;
  completed: boolean;
}

/** A promise that was not kept. */
export interface Violation {
  readonly invariant: string;
  readonly what: string;
}

/** Everything that a scenario's callers and functions saw, from which the checker tells whether it may be so. */
export class History {
  readonly calls: CallRecord[] = [];
  readonly runs: RunRecord[] = [];
  readonly sessions: SessionRecord[] = [];
  /** Ids of the sessions of which a server was told that they end, where processors see it. */
  readonly ended: string[] = [];
  /** What was wrong the moment that it happened. */
  readonly violations: Violation[] = [];
  /** Calls of which a processor refused a message. */
  readonly refused = new Set<string>();
  /** Whether all messages are wrapped on their way. */
  readonly #processed: boolean;
  readonly #unwrapped = new WeakSet<object>();

  constructor(processed: boolean) {
    this.#processed = processed;
  }

  /** Whether nothing is under way: neither calls, except of clients that were killed, nor functions. */
  isOver(isAlive: (client: string) => boolean): boolean {
    return (
      this.calls.every(({ plan, settled }) => settled > 0 || !isAlive(clientOf(plan))) &&
      this.sessions.every(({ plan, over }) => over || !isAlive(clientOf(plan))) &&
      this.runs.every(({ endedAt, alive }) => endedAt !== undefined || !alive())
    );
  }

  /** A processor has unwrapped a message: an item, or the arguments of a call. */
  unwrapped(body: unknown): void {
    const what: unknown = Array.isArray(body) ? body[0] : body;
    if (typeof what === "object" && what !== null) this.#unwrapped.add(what);
  }

  /** I14: nothing comes to a caller or a function that did not come through the processors. */
  checkUnwrapped(id: string, what: unknown): void {
    if (!this.#processed || this.#unwrapped.has(what as object)) return;
    this.violation("I14", `a message of ${id} went past the processors`);
  }

  violation(invariant: string, what: string): void {
    this.violations.push({ invariant, what });
  }
}

/** The name of the client that makes a call or opens a session. */
export function clientOf({ id }: { readonly id: string }): string {
  return id.slice(0, id.indexOf("."));
}

/** The bytes of message `n` of a call: of both its ends, and of no other's. */
export function bodyOf(id: string, n: number, length: number): Uint8Array {
  let state = n + 1;
  for (let i = 0; i < id.length; i++) state = Math.imul(state ^ id.charCodeAt(i), 0x01000193);
  const body = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    state = Math.imul(state ^ i, 0x01000193);
    body[i] = state >>> 13;
  }
  return body;
}

/** Whether a message is the one of this place of this call. */
export function isItem(value: unknown, id: string, n: number, length: number): value is Item {
  const item = value as Partial<Item> | null | undefined;
  if (item?.id !== id || item.n !== n || !(item.body instanceof Uint8Array)) return false;
  return Buffer.compare(item.body, bodyOf(id, n, length)) === 0;
}

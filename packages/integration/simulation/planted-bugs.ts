import { ProcessedSink, ProcessorChain } from "@rap/core";
import { Connection, type Stream, TimerWheel, type WheelEntry } from "@rap/transport";
import { Backoff } from "../../client/src/backoff";
import { CallQueue } from "../../client/src/call-queue";
import { OutgoingCall } from "../../client/src/send";
import { ClientSession } from "../../client/src/session";
import { ServerCall } from "../../server/src/answer";
import { ServerConnection } from "../../server/src/server-connection";
import { ConnectionCredit } from "../../transport/src/connection-credit";
import { StreamTable } from "../../transport/src/stream-table";

/** A mistake that could be made in rap. Planting it replaces one method; what it returns puts the right one back. */
export interface PlantedBug {
  readonly name: string;
  /** A seed near to the first in which it is seen, for tests that have little time. Default 1. */
  readonly seenFrom?: number;
  plant(): () => void;
}

/** The simulation is good for something only if it finds these. */
export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: "a call whose time is over stays in the queue",
    plant: () =>
      replace(CallQueue.prototype, "delete", (remove) => {
        const forget = once();
        return function (this: CallQueue, call) {
          if (!isSettled(call) || !forget(call)) remove.call(this, call);
        };
      }),
  },
  {
    name: "a call's place is given back twice",
    plant: () =>
      replace(
        ServerConnection.prototype,
        "release",
        (release) =>
          function (this: ServerConnection, shape) {
            release.call(this, shape);
            if (this.inFlight > 1) release.call(this, shape);
          },
      ),
  },
  {
    name: "credit is lost",
    plant: () => {
      let grants = 0;
      return replace(
        ConnectionCredit.prototype,
        "grant",
        (send) =>
          function (this: ConnectionCredit, id, bytes, messages) {
            if (++grants % 20 !== 0) send.call(this, id, bytes, messages);
          },
      );
    },
  },
  {
    name: "one of the streams is not told that their connection is lost",
    plant: () =>
      replace(
        StreamTable.prototype,
        "list",
        (list) =>
          function (this: StreamTable) {
            return list.call(this).slice(1);
          },
      ),
  },
  {
    name: "a place is free as soon as its call is cancelled, though the function runs on",
    plant: () => freeOnCancel(),
  },
  {
    name: "the backoff is never reset",
    plant: () => replace(Backoff.prototype, "reset", () => () => undefined),
  },
  {
    name: "a frame of an old stream goes to a younger one in its place",
    plant: () => confusePlaces(),
  },
  {
    name: "goodbye is said in one step",
    seenFrom: 110,
    plant: () => oneStepGoodbye(),
  },
  {
    name: "a call that may have run is sent again",
    plant: () =>
      replace(
        OutgoingCall.prototype,
        "onReset",
        (onReset) =>
          function (this: OutgoingCall, error) {
            if (error?.code === "UNAVAILABLE") Object.assign(error, { maybeExecuted: false });
            onReset.call(this, error);
          },
      ),
  },
  {
    name: "the timer of a call that is over is not cleared",
    plant: () =>
      replace(TimerWheel.prototype, "remove", (remove) => {
        const forget = once();
        return function (this: TimerWheel, entry) {
          if (!isSettled(entry) || !forget(entry)) remove.call(this, entry);
        };
      }),
  },
  {
    name: "a stream that breaks off ends as if it were whole",
    plant: () =>
      replace(
        OutgoingCall.prototype,
        "onReset",
        (onReset) =>
          function (this: OutgoingCall, error) {
            if (error?.code === "UNAVAILABLE" && error.maybeExecuted) this.onEnd(undefined);
            else onReset.call(this, error);
          },
      ),
  },
  {
    name: "a function is not told that its caller has left",
    plant: () => replace(ServerCall.prototype, "onReset", () => () => undefined),
  },
  {
    name: "credit of less than 512 bytes is lost",
    plant: () =>
      replace(
        ConnectionCredit.prototype,
        "grant",
        (send) =>
          function (this: ConnectionCredit, id, bytes, messages) {
            if (bytes >= 512) send.call(this, id, bytes, messages);
          },
      ),
  },
  {
    name: "a peer that was not read from for a while is never read from again",
    seenFrom: 25,
    plant: () =>
      replace(
        Connection.prototype,
        "onDrain",
        (onDrain) =>
          function (this: Connection) {
            const { socket } = this;
            const { resume } = socket;
            socket.resume = () => undefined;
            onDrain.call(this);
            socket.resume = resume;
          },
      ),
  },
  {
    name: "a call of a session goes to another connection with more room",
    seenFrom: 11,
    plant: () =>
      replace(
        ClientSession.prototype,
        "pick",
        (pick) =>
          function (this: ClientSession, shape) {
            return pick.call(this, shape) ?? this.core.pool.pick(shape);
          },
      ),
  },
  {
    name: "a session that was closed stays on the server",
    plant: () => replace(ServerConnection.prototype, "closeSession", () => () => undefined),
  },
  {
    name: "processors are not told of the end of a call that failed",
    plant: () =>
      replace(
        ProcessorChain.prototype,
        "enter",
        (enter) =>
          function (this: ProcessorChain, call) {
            const exit = enter.call(this, call);
            return (error) => {
              if (error === undefined) exit();
            };
          },
      ),
  },
  {
    name: "a message goes past the processors",
    plant: () => {
      let messages = 0;
      return replace(
        ProcessorChain.prototype,
        "inbound",
        (inbound) =>
          function (this: ProcessorChain, step, message) {
            return ++messages % 50 === 0 ? message : inbound.call(this, step, message);
          },
      );
    },
  },
  {
    name: "the end of a stream overtakes what a processor still has",
    plant: () =>
      replace(
        ProcessedSink.prototype,
        "onEnd",
        () =>
          function (this: ProcessedSink, trailers) {
            this.target.onEnd(trailers);
          },
      ),
  },
];

// biome-ignore lint/suspicious/noExplicitAny: any method of any class
type Method = (...args: any[]) => any;

function replace<T extends object, K extends keyof T>(
  prototype: T,
  name: K,
  make: (right: Extract<T[K], Method>) => T[K],
): () => void {
  const right = prototype[name];
  prototype[name] = make(right as Extract<T[K], Method>);
  return () => {
    prototype[name] = right;
  };
}

/** true the first time that it is asked of something. */
function once(): (what: object) => boolean {
  const asked = new WeakSet<object>();
  return (what) => !asked.has(what) && asked.add(what) !== undefined;
}

/** Whether it is a call of a client that is over. */
function isSettled(what: object): boolean {
  return what instanceof OutgoingCall && (what as unknown as { settled: boolean }).settled;
}

/** The server says at once that it is done with a call, and counts it no more. */
function freeOnCancel(): () => void {
  const freed = new WeakMap<ServerConnection, number>();
  const undoRelease = replace(
    ServerConnection.prototype,
    "release",
    (release) =>
      function (this: ServerConnection, shape) {
        const early = freed.get(this) ?? 0;
        if (early > 0) freed.set(this, early - 1);
        else release.call(this, shape);
      },
  );
  const undoReset = replace(
    ServerCall.prototype,
    "onReset",
    (onReset) =>
      function (this: ServerCall, error) {
        const { connection } = this;
        const stream = connection.wire.openStreams().find(({ sink }) => sink === this);
        onReset.call(this, error);
        if (error === undefined || stream === undefined || stream.localDone) return;
        connection.release(stream.shape);
        freed.set(connection, (freed.get(connection) ?? 0) + 1);
        stream.reset(error);
      },
  );
  return () => {
    undoRelease();
    undoReset();
  };
}

/** The table looks at the place only, and not at the id. */
function confusePlaces(): () => void {
  const PLACES = 4;
  const places = new WeakMap<StreamTable, Map<number, Stream>>();
  const undoAdd = replace(
    StreamTable.prototype,
    "add",
    (add) =>
      function (this: StreamTable, stream) {
        add.call(this, stream);
        const mine = places.get(this) ?? new Map<number, Stream>();
        places.set(this, mine.set((stream.id >>> 1) % PLACES, stream));
      },
  );
  const undoGet = replace(
    StreamTable.prototype,
    "get",
    (get) =>
      function (this: StreamTable, id) {
        const stream = get.call(this, id);
        return stream === undefined ? undefined : places.get(this)?.get((id >>> 1) % PLACES);
      },
  );
  return () => {
    undoAdd();
    undoGet();
  };
}

/** What is to be done after a pause is done at once. */
function oneStepGoodbye(): () => void {
  let draining = false;
  const undoDrain = replace(
    Connection.prototype,
    "drain",
    (drain) =>
      function (this: Connection, reason) {
        draining = true;
        drain.call(this, reason);
        draining = false;
      },
  );
  const undoAdd = replace(
    TimerWheel.prototype,
    "add",
    (add) =>
      function (this: TimerWheel, entry: WheelEntry, ms) {
        if (draining) entry.expire();
        else add.call(this, entry, ms);
      },
  );
  return () => {
    undoDrain();
    undoAdd();
  };
}

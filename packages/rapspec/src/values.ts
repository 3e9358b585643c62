import { equal } from "node:assert/strict";
import { answers, type ClientCase, clientCases } from "./client-scene";
import { call, codec, data } from "./frames";
import { ended } from "./server-lists";
import { type ServerCase, serverCases } from "./server-scene";
import { tag } from "./tagged";
import { readVectors, toHex } from "./vectors";

// The codec's vectors, each through a whole peer: there as an argument of `echo` and back as its result.

const { values, refused } = readVectors();

/** Bytes of a list of one value. */
const listOf = (bytes: Uint8Array): Uint8Array => Buffer.concat([Uint8Array.of(0x91), bytes]);

const echoed: ServerCase[] = values
  .filter(({ bytes }) => fits(bytes))
  .map(({ name, bytes, value }) => ({
    name,
    gives: "nothing",
    async play({ peer }) {
      peer.send(call(1, "echo", { body: listOf(bytes) }));
      await ended(peer, 1);
      equal(toHex(Buffer.concat(peer.on("data", 1).map(({ body }) => body))), toHex(codec.encode(value)));
    },
  }));

const refusedByServer: ServerCase[] = refused.map(({ name, bytes }) => ({
  name,
  play: [call(1, "args", { body: listOf(bytes) })],
  gives: "RESET INVALID_ARGUMENT",
}));

const told: ClientCase[] = values.map(({ name, bytes, value }) =>
  answers(name, (id) => [data(id, bytes, { end: true })], JSON.stringify(tag(value))),
);

const refusedByClient: ClientCase[] = refused.map(({ name, bytes }) =>
  answers(name, (id) => [data(id, bytes, { end: true })], "INTERNAL", "RESET CANCELLED"),
);

/** Whether a value can be an argument, where it is one level deeper. */
function fits(bytes: Uint8Array): boolean {
  try {
    codec.decode(listOf(bytes), 0, bytes.length + 1, true);
    return true;
  } catch {
    return false;
  }
}

/** Every vector of the codec, to a server and to a client. */
export const valueCases = [
  ...serverCases("values: a server gives back", echoed),
  ...serverCases("values: a server refuses", refusedByServer),
  ...clientCases("values: a client gives its caller", told),
  ...clientCases("values: a client refuses", refusedByClient),
];

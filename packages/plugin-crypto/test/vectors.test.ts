import { createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { systemClock } from "@rap/protocol";
import {
  answerTag,
  decodeAnswer,
  decodeOffer,
  deriveSecrets,
  encodeAnswer,
  encodeOffer,
  offerKey,
  offerTag,
  transcriptOf,
} from "../src/exchange";
import { deriveKey } from "../src/key";
import { Direction, Records, rekeyLimits } from "../src/record";
import { suiteOf } from "../src/suite";

interface Vector {
  name: string;
  key: string;
  keyId: string;
  suites: number[];
  suite: number;
  binding: string | null;
  clientPrivate: string;
  serverPrivate: string;
  clientRandom: string;
  serverRandom: string;
  clientTime: number;
  serverTime: number;
  psk: string;
  offer: string;
  shared: string;
  transcript: string;
  client: string;
  server: string;
  confirm: string;
  answer: string;
  records: { side: "client" | "server"; plain: string; frame: string }[];
}

const file = join(__dirname, "../vectors/exchange.json");
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: Vector[] };
const bytes = (hex: string): Buffer => Buffer.from(hex, "hex");
const hex = (value: Uint8Array): string => Buffer.from(value).toString("hex");
/** An X25519 key as RFC 8410 wraps it. */
const privateKey = (raw: string) =>
  createPrivateKey({ key: bytes(`302e020100300506032b656e04220420${raw}`), type: "pkcs8", format: "der" });
const shareOf = (raw: string): Uint8Array =>
  createPublicKey(privateKey(raw)).export({ type: "spki", format: "der" }).subarray(-32);

describe.each(cases)("$name", (vector) => {
  const key = deriveKey(vector.keyId, vector.key);
  const binding = vector.binding === null ? undefined : bytes(vector.binding);
  const suite = suiteOf(vector.suite)!;

  test("the key, the offer and its tag", () => {
    expect(hex(key.export())).toBe(vector.psk);
    const body = encodeOffer({
      bound: binding !== undefined,
      suites: vector.suites.map((number) => suiteOf(number)!),
      keyId: vector.keyId,
      time: vector.clientTime,
      random: bytes(vector.clientRandom),
      share: shareOf(vector.clientPrivate),
    });
    expect(hex(body) + hex(offerTag(offerKey(key), body, binding))).toBe(vector.offer);
    expect(decodeOffer(bytes(vector.offer)).message.keyId).toBe(vector.keyId);
  });

  test("the secrets and the answer", () => {
    const shared = diffieHellman({
      privateKey: privateKey(vector.clientPrivate),
      publicKey: createPublicKey(privateKey(vector.serverPrivate)),
    });
    expect(hex(shared)).toBe(vector.shared);
    const body = encodeAnswer({
      suite,
      time: vector.serverTime,
      random: bytes(vector.serverRandom),
      share: shareOf(vector.serverPrivate),
    });
    const transcript = transcriptOf(bytes(vector.offer), body, binding);
    expect(hex(transcript)).toBe(vector.transcript);
    const randoms = [bytes(vector.clientRandom), bytes(vector.serverRandom)] as const;
    const { client, server, confirm } = deriveSecrets(key, shared, ...randoms, transcript);
    expect([hex(client), hex(server), hex(confirm.export())]).toEqual([vector.client, vector.server, vector.confirm]);
    expect(hex(body) + hex(answerTag(confirm, transcript))).toBe(vector.answer);
    expect(decodeAnswer(bytes(vector.answer)).message.suite).toBe(suite);
  });

  test.each(["client", "server"] as const)("the records of the %s, which goes on to its next key after two", (side) => {
    const direction = (whose: "client" | "server") => new Direction(suite, whose, bytes(vector[whose]), systemClock);
    const other = side === "client" ? "server" : "client";
    const shared = { removed: false };
    const sending = new Records(direction(side), direction(other), rekeyLimits({ records: 2 }), shared);
    const receiving = new Records(direction(other), direction(side), rekeyLimits(), shared);
    const records = vector.records.filter((record) => record.side === side);
    expect(records).toHaveLength(3);
    for (const { plain, frame } of records) {
      expect(hex(sending.seal(bytes(plain)))).toBe(frame);
      expect(hex(receiving.open(bytes(frame)))).toBe(plain);
    }
  });
});

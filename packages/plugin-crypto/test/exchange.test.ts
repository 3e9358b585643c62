import { createSecretKey, randomBytes } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import {
  decodeAnswer,
  decodeOffer,
  deriveSecrets,
  encodeAnswer,
  encodeOffer,
  KeyShare,
  type Offer,
  offerKey,
  offerTag,
  sameTag,
  transcriptOf,
} from "../src/exchange";

const OFFER: Offer = {
  bound: true,
  suites: ["chacha20-poly1305", "aes-256-gcm"],
  keyId: "schlüssel",
  time: 1_800_000_000_123,
  random: randomBytes(32),
  share: randomBytes(32),
};
const ANSWER = { suite: "aes-256-gcm", time: 2 ** 47 + 5, random: randomBytes(32), share: randomBytes(32) } as const;
const TAG = randomBytes(32);

const plain = (message: object): object => JSON.parse(JSON.stringify(message, (_, value) => value?.data ?? value));

test("offers and answers are read as they were written", () => {
  const offer = decodeOffer(Buffer.concat([encodeOffer(OFFER), TAG]));
  expect(plain(offer.message)).toEqual(plain(OFFER));
  expect(Buffer.from(offer.tag).equals(TAG)).toBe(true);
  expect(Buffer.from(offer.body).equals(encodeOffer(OFFER))).toBe(true);
  expect(plain(decodeAnswer(Buffer.concat([encodeAnswer(ANSWER), TAG])).message)).toEqual(plain(ANSWER));
});

test("an offer has the bytes that the documentation says", () => {
  const fixed = {
    ...OFFER,
    keyId: "id",
    time: 0x0102_0304_0506,
    random: Buffer.alloc(32, 7),
    share: Buffer.alloc(32, 8),
  };
  expect(Buffer.from(encodeOffer(fixed)).toString("hex")).toBe(
    `01 01 02 02 01 02 6964 010203040506 ${"07".repeat(32)} ${"08".repeat(32)}`.replaceAll(" ", ""),
  );
  const answer = { ...ANSWER, time: 1, random: Buffer.alloc(32, 7), share: Buffer.alloc(32, 8) };
  expect(Buffer.from(encodeAnswer(answer)).toString("hex")).toBe(
    `01 01 000000000001 ${"07".repeat(32)} ${"08".repeat(32)}`.replaceAll(" ", ""),
  );
});

test("suites that this version does not know are passed over in an offer", () => {
  const bytes = Buffer.concat([encodeOffer(OFFER), TAG]);
  bytes[3] = 99;
  expect(decodeOffer(bytes).message.suites).toEqual(["aes-256-gcm"]);
});

describe.each([
  ["an offer", Buffer.concat([encodeOffer(OFFER), TAG]), decodeOffer],
  ["an answer", Buffer.concat([encodeAnswer(ANSWER), TAG]), decodeAnswer],
] as const)("%s", (_what, bytes, decode) => {
  test("that is cut short or too long is refused, wherever it ends", () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decode(bytes.subarray(0, length))).toThrow();
    }
    expect(() => decode(Buffer.concat([bytes, Buffer.of(0)]))).toThrow("too long");
  });

  test("of another version, or with what is not known, is refused", () => {
    for (const at of [0, 1]) {
      const altered = Buffer.from(bytes);
      altered[at] = 0x82;
      expect(() => decode(altered)).toThrow();
    }
  });
});

describe("the secrets of a connection", () => {
  const key = createSecretKey(Buffer.alloc(32, 1));
  const [mine, theirs] = [new KeyShare(), new KeyShare()];
  const shared = mine.agree(theirs.bytes);
  const secrets = (changes: {
    key?: number;
    shared?: Uint8Array;
    client?: number;
    server?: number;
    transcript?: number;
  }) => {
    const { client, server, confirm } = deriveSecrets(
      changes.key === undefined ? key : createSecretKey(Buffer.alloc(32, changes.key)),
      changes.shared ?? shared,
      Buffer.alloc(32, changes.client ?? 2),
      Buffer.alloc(32, changes.server ?? 3),
      Buffer.alloc(32, changes.transcript ?? 4),
    );
    return [Buffer.from(client), Buffer.from(server), confirm.export()].map((secret) => secret.toString("hex"));
  };

  test("are the same for both sides, which agree on X25519 each with its own key", () => {
    expect(Buffer.from(theirs.agree(mine.bytes)).equals(shared)).toBe(true);
    expect(secrets({})).toEqual(secrets({ shared: theirs.agree(mine.bytes) }));
  });

  test("are others for each use, and when anything that went into them is another", () => {
    const all = [
      {},
      { key: 9 },
      { shared: randomBytes(32) },
      { client: 9 },
      { server: 9 },
      { client: 3, server: 2 },
      { transcript: 9 },
    ].flatMap(secrets);
    expect(new Set(all).size).toBe(21);
  });

  test("do not come of a share that gives no secret", () => {
    expect(() => mine.agree(new Uint8Array(32))).toThrow();
    expect(() => mine.agree(Buffer.from(`01${"00".repeat(31)}`, "hex"))).toThrow();
  });
});

test("a transcript is another one when a byte moves from one message to the next", () => {
  const all = [
    transcriptOf(Buffer.from("ab"), Buffer.from("c"), undefined),
    transcriptOf(Buffer.from("a"), Buffer.from("bc"), undefined),
    transcriptOf(Buffer.from("ab"), Buffer.from(""), Buffer.from("c")),
    transcriptOf(Buffer.from("ab"), Buffer.from("c"), Buffer.from("d")),
  ].map((transcript) => Buffer.from(transcript).toString("hex"));
  expect(new Set(all).size).toBe(4);
});

test("tags depend on key, message and the TLS connection", () => {
  const [one, two] = [1, 2].map((fill) => offerKey(createSecretKey(Buffer.alloc(32, fill))));
  const tag = offerTag(one!, Buffer.from("offer"), undefined);
  expect(sameTag(tag, offerTag(one!, Buffer.from("offer"), undefined))).toBe(true);
  expect(sameTag(tag, offerTag(two!, Buffer.from("offer"), undefined))).toBe(false);
  expect(sameTag(tag, offerTag(one!, Buffer.from("other"), undefined))).toBe(false);
  expect(sameTag(tag, offerTag(one!, Buffer.from("offer"), Buffer.from("tls")))).toBe(false);
  expect(sameTag(tag, tag.subarray(1))).toBe(false);
});

import { randomBytes, scryptSync } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, test } from "@jest/globals";
import { deriveKey, idBytes, passphraseKey } from "../src/key";

const hex = (id: string, key: string | Uint8Array): string => deriveKey(id, key).export().toString("hex");

describe("a key", () => {
  test("may be given as bytes, in hex or in base64, and is the same key", () => {
    const bytes = randomBytes(32);
    const forms = [
      bytes,
      Uint8Array.from(bytes),
      bytes.toString("hex"),
      bytes.toString("hex").toUpperCase(),
      bytes.toString("base64"),
      bytes.toString("base64url"),
    ];
    expect(new Set(forms.map((form) => hex("id", form))).size).toBe(1);
  });

  test("of 16 characters is the key of their bytes", () => {
    expect(hex("id", "xxxxxxxxxxxxxxxx")).toBe(hex("id", Buffer.from("xxxxxxxxxxxxxxxx")));
    expect(hex("id", "xxxxxxxxxxxxxxx1")).not.toBe(hex("id", "xxxxxxxxxxxxxxxx"));
    expect(deriveKey("id", "äöüß€😀 7 8 9 0.").symmetricKeySize).toBe(32);
  });

  test("is another one under another id", () => {
    expect(hex("a", "xxxxxxxxxxxxxxxx")).not.toBe(hex("b", "xxxxxxxxxxxxxxxx"));
  });

  test("is derived as the documentation says", () => {
    // HKDF-SHA256, salt "rap/1 key", info "demo_id", computed by another implementation of RFC 5869.
    expect(hex("demo_id", "xxxxxxxxxxxxxxxx")).toBe(KNOWN);
  });

  test.each<[string, unknown]>([
    ["a passphrase", "correct horse battery staple"],
    ["too few characters", "secretsecret"],
    ["nothing", ""],
    ["too few bytes", new Uint8Array(15)],
    ["too many bytes", new Uint8Array(65)],
    ["a number", 1234567812345678],
    ["no key at all", undefined],
    ["broken hex", `${"0".repeat(63)}g`],
  ])("is not %s, and the error does not repeat what was given", (_what, bad) => {
    let thrown: unknown;
    try {
      deriveKey("id", bad as string);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ name: "TypeError", code: "ERR_RAP_KEY" });
    if (typeof bad === "string" && bad !== "") expect(inspect(thrown)).not.toContain(bad);
  });

  test.each<unknown>(["", "x".repeat(129), 7, undefined])("has an id of 1 to 128 bytes, not %j", (bad) => {
    expect(() => idBytes(bad as string)).toThrow(TypeError);
    expect(idBytes("x".repeat(128))).toHaveLength(128);
  });
});

describe("a passphrase", () => {
  test("becomes a key by scrypt, as slowly as the least cost", async () => {
    const key = await passphraseKey("correct horse battery staple", "rap.example.org");
    const same = scryptSync("correct horse battery staple", "rap.example.org", 32, {
      N: 2 ** 17,
      r: 8,
      p: 1,
      maxmem: 2 ** 28,
    });
    expect(Buffer.from(key).equals(same)).toBe(true);
  }, 20_000);

  test.each<[string, unknown[]]>([
    ["no text", ["", "salt salt"]],
    ["another value", [1234, "salt salt"]],
    ["a short salt", ["passphrase", "salt"]],
    ["a low cost", ["passphrase", "salt salt", { cost: 2 ** 16 }]],
  ])("is refused for %s", async (_what, args) => {
    await expect(passphraseKey(...(args as Parameters<typeof passphraseKey>))).rejects.toMatchObject({
      code: "ERR_RAP_KEY",
    });
  });
});

const KNOWN = "a3ca7f6f917d4f2da70d3de5c5ea5d6534d22fa10c769a928d58b68ee66d5878";

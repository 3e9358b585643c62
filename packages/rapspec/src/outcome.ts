import { deepEqual, equal, match, ok } from "node:assert/strict";
import { type Code, codeFromNumber, decodeError, goawayName } from "@rap/protocol";
import { codec, PING } from "./frames";
import type { RawPeer } from "./raw-peer";
import { until } from "./wait";

/**
 * What comes of something that a peer sends. Each case has exactly one:
 *
 *     silence           closed without a word (before the handshake)
 *     closed            closed without an error
 *     GOAWAY <code>     closed with a reason that a person can read
 *     RESET <code>      that call fails, the connection goes on
 *     nothing           it is taken, or ignored, and the connection goes on
 *     glitch            ignored, and counted: the second one is too much for a peer with a budget of one
 */
export type Outcome = "silence" | "closed" | `GOAWAY ${string}` | `RESET ${Code}` | "nothing" | "glitch";

/** Waits for the outcome and checks that it is this one; `why` is in the reason or in the message. */
export async function expectOutcome(peer: RawPeer, outcome: Outcome, why = ""): Promise<void> {
  const [what, code] = outcome.split(" ") as [string, string];
  if (what === "silence" || what === "closed" || what === "GOAWAY") {
    await until(() => peer.closed);
    deepEqual(
      goaways(peer).map((it) => it.code),
      what === "GOAWAY" ? [code] : [],
    );
    for (const { reason } of goaways(peer)) {
      match(reason, /[a-z]{2,} /, "a reason is for people");
      ok(reason.includes(why), `the reason "${reason}" says nothing of "${why}"`);
    }
    return;
  }
  const answers = peer.of("pong").length;
  peer.send(PING);
  await until(() => peer.closed || peer.of("pong").length > answers);
  deepEqual(goaways(peer), []);
  equal(peer.closed, false, "the connection was to go on");
  if (what === "RESET") await until(() => peer.of("reset").length > 0);
  const errors = resets(peer);
  deepEqual(
    errors.map((it) => it.code),
    errors.map(() => code),
  );
  for (const { message } of errors) ok(message.includes(why), `the message "${message}" says nothing of "${why}"`);
  equal(errors.length > 0, what === "RESET", `there were ${errors.length} errors`);
}

/** GOAWAYs with an error that came. */
function goaways(peer: RawPeer): { code: string; reason: string }[] {
  return peer.of("goaway").flatMap(({ code, reason }) => (code === 0 ? [] : [{ code: goawayName(code), reason }]));
}

/** Errors of calls that came. */
function resets(peer: RawPeer): { code: Code; message: string }[] {
  return peer.of("reset").map((frame) => ({ code: codeFromNumber(frame.code), message: messageOfReset(frame) }));
}

/** The message of a RESET. */
export function messageOfReset({ code, flags, body }: { code: number; flags: number; body: Uint8Array }): string {
  const payload = Uint8Array.of(code, flags, ...body);
  return decodeError(payload, 0, payload.length, codec).message;
}

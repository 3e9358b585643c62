import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { CASES, Peer, type Result, report, runSuite, Subject } from "../src/index";

jest.setTimeout(120_000);

// Our own implementation, in this process: lines of JSON go there and back as they do between processes.
const peer: Peer = new Peer((line) => setImmediate(() => subject.receive(line)));
const subject: Subject = new Subject((line) => peer.receive(line));

const results = new Map<string, Result>();
const nameOf = ({ section, name, gives }: (typeof CASES)[number]): string => `${section}: ${name}: ${gives}`;

beforeAll(async () => {
  await runSuite(subject, { texts: true, onResult: (result) => results.set(nameOf(result.case), result) });
});
afterAll(() => peer.close());

test("no two cases have one name", () => {
  const names = CASES.map(nameOf);
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
});

describe.each([...new Set(CASES.map(({ section }) => section))])("%s", (section) => {
  const own = CASES.filter((it) => it.section === section);
  test.each(own)("$name: $gives", (it) => {
    expect(results.get(nameOf(it))).toMatchObject({ verdict: "passed" });
  });
});

test("a server that hangs up on everybody passes no case that asks for an answer", async () => {
  const rude = createServer((socket) => void socket.on("error", () => {}).end());
  await new Promise<void>((resolve) => rude.listen(0, "127.0.0.1", resolve));
  const address = `tcp://127.0.0.1:${(rude.address() as { port: number }).port}`;
  const other: Subject = new Subject((line) => setImmediate(() => answer(JSON.parse(line))));
  const answer = ({ id, op }: { id: number; op: string }) =>
    other.receive(JSON.stringify({ id, ...(op === "serve" && { address }) }));
  const cases = CASES.filter(({ section }) => section === "a server gets as arguments");
  const verdicts = await runSuite(other, { cases });
  rude.close();
  expect(cases.length).toBeGreaterThan(20);
  expect(verdicts.filter(({ verdict }) => verdict !== "failed")).toEqual([]);
});

test("what an implementation cannot do is skipped, and named in the table", async () => {
  const other: Subject = new Subject((line) =>
    setImmediate(() => other.receive(JSON.stringify({ id: JSON.parse(line).id, unsupported: "glitchBurst" }))),
  );
  const results = await runSuite(other, { cases: CASES.slice(0, 3) });
  expect(results.map(({ verdict, why }) => [verdict, why])).toEqual(
    CASES.slice(0, 3).map(() => ["skipped", "glitchBurst"]),
  );
  expect(report(results)).toMatch(/^all +3 +0 +0 +3$/m);
});

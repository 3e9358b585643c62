import { messageOf, systemClock } from "@rap/protocol";
import { generate } from "selfsigned";
import type { Bench, Case, Identities } from "./case";
import { clientAnswers } from "./client-answers";
import { clientFrames } from "./client-frames";
import { clientGreetings } from "./client-greetings";
import { clientLists } from "./client-lists";
import { clientStates } from "./client-states";
import { frameVectors } from "./frame-vectors";
import { matrix } from "./matrix";
import { serverBombs } from "./server-bombs";
import { serverCalls } from "./server-calls";
import { serverFrames } from "./server-frames";
import { serverGreetings } from "./server-greetings";
import { serverLists } from "./server-lists";
import { serverStates } from "./server-states";
import { type Subject, Unsupported } from "./subject";
import { valueCases } from "./values";

/** Every case, table by table. */
export const CASES: readonly Case[] = [
  ...serverGreetings,
  ...serverCalls,
  ...serverStates,
  ...serverFrames,
  ...serverLists,
  ...serverBombs,
  ...clientGreetings,
  ...clientAnswers,
  ...clientStates,
  ...clientFrames,
  ...clientLists,
  ...valueCases,
  ...matrix,
  ...frameVectors,
];

/** What came of a case. */
export interface Result {
  readonly case: Case;
  /** `skipped`: the implementation says that it cannot do what the case is about. */
  readonly verdict: "passed" | "failed" | "skipped";
  /** Why it is not passed. */
  readonly why?: string;
  readonly milliseconds: number;
}

export interface SuiteOptions {
  /** Which cases. Default: all. */
  readonly cases?: readonly Case[];
  /** How many at once. Default 16. */
  readonly parallel?: number;
  /** Whether to compare texts for people with those of our own implementation. Default false. */
  readonly texts?: boolean;
  /** Told each result as it comes. */
  readonly onResult?: (result: Result) => void;
}

/** Runs cases against an implementation; the results are in the order of the cases. */
export async function runSuite(subject: Subject, options: SuiteOptions = {}): Promise<Result[]> {
  const { cases = CASES, parallel = 16, texts = false, onResult } = options;
  let issued: Promise<Identities> | undefined;
  const bench: Bench = {
    subject,
    texts,
    certificates() {
      issued ??= issueCertificates();
      return issued;
    },
  };
  const results: Result[] = [];
  const runAll = async (indexes: Iterator<number>): Promise<void> => {
    for (let next = indexes.next(); !next.done; next = indexes.next()) {
      const result = await run(bench, cases[next.value]!);
      results[next.value] = result;
      onResult?.(result);
    }
  };
  const indexes = cases.map((_, index) => index);
  const together = indexes.filter((index) => !cases[index]!.alone).values();
  await Promise.all(Array.from({ length: parallel }, () => runAll(together)));
  await runAll(indexes.filter((index) => cases[index]!.alone).values());
  return results;
}

async function run(bench: Bench, it: Case): Promise<Result> {
  const started = systemClock.now();
  const result = (verdict: Result["verdict"], why?: string): Result => ({
    case: it,
    verdict,
    milliseconds: Math.round(systemClock.now() - started),
    ...(why !== undefined && { why }),
  });
  try {
    await it.run(bench);
    return result("passed");
  } catch (error) {
    return result(error instanceof Unsupported ? "skipped" : "failed", messageOf(error));
  }
}

/** A small public-key infrastructure for 127.0.0.1. */
async function issueCertificates(): Promise<Identities> {
  type Options = NonNullable<Parameters<typeof generate>[1]>;
  const issue = async (name: string, extensions: NonNullable<Options["extensions"]>, ca?: Options["ca"]) => {
    const attributes = [{ name: "commonName", value: name }];
    const options: Options = { keyType: "ec", algorithm: "sha256", extensions, ...(ca && { ca }) };
    const { private: key, cert } = await generate(attributes, options);
    return { key, cert };
  };
  const authority = await issue("rapspec", [
    { name: "basicConstraints", cA: true, critical: true },
    { name: "keyUsage", keyCertSign: true, digitalSignature: true, critical: true },
  ]);
  const here = [
    { type: 2, value: "localhost" },
    { type: 7, ip: "127.0.0.1" },
  ] as const;
  return {
    ca: authority.cert,
    server: await issue("localhost", [{ name: "subjectAltName", altNames: [...here] }], authority),
    client: await issue("a client", [], authority),
  };
}

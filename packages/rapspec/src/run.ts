#!/usr/bin/env node
import { parseArgs } from "node:util";
import { messageOf } from "@rap/protocol";
import { report } from "./report";
import { SubjectProcess } from "./subject";
import { CASES, runSuite } from "./suite";

const USAGE = `rapspec [options] -- <command> [arguments of the command]

Runs the conformance suite against the program, which reads instructions from its standard input and writes
answers to its standard output (docs/protocol.md, section 7). Exits with 0 if no case failed.

  --only <text>      only cases whose section and name contain the text; may be given more than once
  --parallel <n>     cases at once, 16 unless given
  --texts            compare texts for people with those of rap's own implementation
  --json             one line of JSON per result instead of a table
  --list             only list the cases
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: "string", multiple: true, default: [] },
      parallel: { type: "string", default: "16" },
      texts: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const { only } = values;
  const cases = CASES.filter(
    ({ section, name }) => only.length === 0 || only.some((text) => `${section}: ${name}`.includes(text)),
  );
  if (values.list) {
    say(cases.map(({ section, name, gives }) => `${section}: ${name}: ${gives}\n`).join(""));
    return 0;
  }
  const parallel = Number(values.parallel);
  const [command, ...args] = positionals;
  if (values.help || command === undefined || !(parallel >= 1)) {
    say(USAGE);
    return values.help ? 0 : 2;
  }
  await using process = new SubjectProcess(command, args);
  const results = await Promise.race([
    process.failure,
    runSuite(process.subject, {
      cases,
      parallel,
      texts: values.texts,
      ...(values.json && { onResult: ({ case: it, ...result }) => say(`${JSON.stringify({ ...it, ...result })}\n`) }),
    }),
  ]);
  if (!values.json) say(report(results));
  return results.some(({ verdict }) => verdict === "failed") ? 1 : 0;
}

function say(text: string): void {
  process.stdout.write(text);
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = 2;
  },
);

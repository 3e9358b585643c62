import { describe, expect, test } from "@jest/globals";
import { SubjectProcess, Unsupported } from "../src/subject";

/** A program that answers each instruction with these lines of JavaScript, which know it as `told`. */
const program = (answer: string): SubjectProcess =>
  new SubjectProcess(process.execPath, [
    "-e",
    `require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
       const told = JSON.parse(line);
       const say = (answer) => console.log(JSON.stringify({ id: told.id, ...answer }));
       ${answer}
     });`,
  ]);

describe("a program under test", () => {
  test("is told lines and answers with lines, and ends with its input", async () => {
    await using it = program(`say({ address: told.op });`);
    const answers = await Promise.all([it.subject.ask({ op: "serve" }), it.subject.ask({ op: "stop", of: 1 })]);
    expect(answers).toEqual([
      { id: 1, address: "serve" },
      { id: 2, address: "stop" },
    ]);
  });

  test("tells all that comes of a call", async () => {
    await using it = program(`say({ headers: [["a", "1"]] }); say({ item: 1 }); say({ item: { $bytes: "00" } });
      say({ trailers: [["b", "2"]] }); say(told.shape === "stream" ? { end: true } : { error: { code: "ABORTED", message: "no" } });`);
    const call = (shape: "stream" | "unary") =>
      it.subject.call({ op: "call", of: 1, shape, function: "default/f", args: [] });
    const stream = call("stream");
    expect(await stream.outcome()).toEqual({ text: '[1,{"0":0}] and the end', message: "" });
    expect([stream.headers, stream.trailers]).toEqual([[["a", "1"]], [["b", "2"]]]);
    expect(await call("unary").outcome()).toEqual({ text: '[1,{"0":0}]ABORTED', message: "no" });
  });

  test("may say that it cannot do something", async () => {
    await using it = program(`say({ unsupported: "TLS" });`);
    await expect(it.subject.ask({ op: "serve", link: "tls" })).rejects.toThrow(Unsupported);
  });

  test.each([
    ["that ends in the middle of it", process.execPath, ["-e", "process.exit(7)"], "exit code 7"],
    ["that is killed", process.execPath, ["-e", "process.kill(process.pid, 'SIGKILL')"], "SIGKILL"],
    ["that is not there", "no-such-program-of-rapspec", [], "ENOENT"],
  ])("%s is a failure of the whole run", async (_, command, args, text) => {
    await using it = new SubjectProcess(command, args);
    await expect(it.failure).rejects.toThrow(text);
  });
});

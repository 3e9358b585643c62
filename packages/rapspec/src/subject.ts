import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Answer, Instruction, Stats } from "./instruction";
import { type Tagged, untag } from "./tagged";
import { until } from "./wait";

/** The implementation cannot do what a case is about. */
export class Unsupported extends Error {
  override readonly name: string = "Unsupported";
}

/** An implementation under test, as the suite drives it: one line there for an instruction, lines back for its answers. */
export class Subject {
  readonly #write: (line: string) => void;
  readonly #answers = new Map<number, (answer: Answer) => void>();
  #last = 0;

  /** `write` takes lines without their ends; what comes back goes to {@link receive}. */
  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** Takes one line of the implementation. */
  receive(line: string): void {
    const answer = JSON.parse(line) as Answer;
    this.#answers.get(answer.id)?.(answer);
  }

  /** Gives an instruction and waits for its one answer. */
  async ask(instruction: Instruction): Promise<Answer> {
    const answer = await new Promise<Answer>((resolve) => {
      const id = this.#tell(instruction, (it) => {
        this.#answers.delete(id);
        resolve(it);
      });
    });
    if (answer.unsupported !== undefined) throw new Unsupported(answer.unsupported);
    return answer;
  }

  /** Makes a call, whose answers come by and by. */
  call(instruction: Instruction & { op: "call" }): SubjectCall {
    const call: SubjectCall = new SubjectCall(
      this,
      this.#tell(instruction, (answer) => {
        call.receive(answer);
        if (call.over) this.#answers.delete(answer.id);
      }),
    );
    return call;
  }

  stats(of: number): Promise<Stats> {
    return this.ask({ op: "stats", of });
  }

  #tell(instruction: Instruction, onAnswer: (answer: Answer) => void): number {
    const id = ++this.#last;
    this.#answers.set(id, onAnswer);
    this.#write(JSON.stringify({ id, ...instruction }));
    return id;
  }
}

/** A call that the implementation under test makes. */
export class SubjectCall {
  readonly id: number;
  readonly items: unknown[] = [];
  headers: Answer["headers"];
  trailers: Answer["trailers"];
  /** The line that ended it. */
  last: Answer | undefined;
  readonly #subject: Subject;

  constructor(subject: Subject, id: number) {
    this.#subject = subject;
    this.id = id;
  }

  get over(): boolean {
    return this.last !== undefined;
  }

  receive(answer: Answer): void {
    if (answer.headers !== undefined) this.headers = answer.headers;
    if (answer.trailers !== undefined) this.trailers = answer.trailers;
    if (answer.item !== undefined) this.items.push(untag(answer.item));
    const ends = answer.end || answer.error !== undefined || answer.unsupported !== undefined;
    if (ends || answer.result !== undefined) this.last = answer;
  }

  /** How it ended: code and message of the error, its result, or all items and how they ended, as JSON. */
  async outcome(): Promise<{ text: string; message: string }> {
    await until(() => this.over);
    const { unsupported, error, result } = this.last!;
    if (unsupported !== undefined) throw new Unsupported(unsupported);
    const items = this.items.length > 0 ? JSON.stringify(this.items) : "";
    if (error !== undefined) return { text: `${items}${error.code}`, message: error.message };
    if (result !== undefined) return { text: JSON.stringify(result), message: "" };
    return { text: `${JSON.stringify(this.items)} and the end`, message: "" };
  }

  async send(value: Tagged): Promise<void> {
    await this.#subject.ask({ op: "send", of: this.id, value });
  }

  async tell(op: "end" | "cancel" | "read"): Promise<void> {
    await this.#subject.ask({ op, of: this.id });
  }
}

/** A program that is under test: it reads instructions from its standard input and writes answers to its output. */
export class SubjectProcess implements AsyncDisposable {
  readonly subject: Subject;
  readonly #child: ChildProcess;

  constructor(command: string, args: readonly string[]) {
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#child = child;
    this.subject = new Subject((line) => void child.stdin.write(`${line}\n`));
    child.stdin.on("error", () => {});
    createInterface({ input: child.stdout }).on("line", (line) => this.subject.receive(line));
  }

  /** Rejects if the program ends, or cannot be started. */
  get failure(): Promise<never> {
    return once(this.#child, "exit").then(([code, signal]) => {
      throw new Error(`the implementation under test ended: ${signal ?? `exit code ${code}`}`);
    });
  }

  /** The end of its input is the end of the program. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.stdin!.end();
    await once(this.#child, "exit");
  }
}

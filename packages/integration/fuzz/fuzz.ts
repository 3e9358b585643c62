import { Chance } from "../simulation/chance";
import kept from "./kept.json";
import { mutate } from "./mutate";
import { type Recording, record } from "./recording";
import { SESSIONS } from "./session";
import { clientTarget, serverTarget, type Target } from "./target";

/** Who is sent bytes: a side of a session, which a client takes up after so many of them. */
interface Aim {
  readonly session: string;
  readonly side: Side;
  readonly greeting: number;
}

/** Bytes that did harm. */
export interface Failure extends Aim {
  readonly seed: number;
  readonly what: string;
  readonly hex: string;
}

type Side = "server" | "client";
const SIDES: readonly Side[] = ["server", "client"];

/** All that can be attacked: each session, on both sides. */
class Targets {
  readonly #targets = new Map<string, Target>();

  async attack({ session, side, greeting }: Aim, bytes: Uint8Array, chance: Chance): Promise<string | undefined> {
    const name = `${session} ${side}`;
    const found = SESSIONS.find((each) => each.name === session)!;
    const target = this.#targets.get(name) ?? (side === "server" ? await serverTarget(found) : clientTarget(found));
    this.#targets.set(name, target);
    return target.attack(bytes, greeting, chance);
  }

  async stop(): Promise<void> {
    for (const { stop } of this.#targets.values()) await stop();
  }
}

/** Sends so many mutants of recorded sessions, one to each seed from `seed` on, to servers and clients in turn. */
export async function fuzz(seed: number, mutants: number): Promise<Failure[]> {
  const recordings = await record();
  const targets = new Targets();
  const failures: Failure[] = [];
  const unheard = watchRejections();
  for (let each = seed; each < seed + mutants; each++) {
    const chance = new Chance(each);
    const recording = recordings[each % recordings.length]!;
    const aim = { session: recording.name, side: chance.oneOf(SIDES), greeting: recording.greeting };
    const mutant = mutate(bytesFor(aim.side, recording), bytesFor(aim.side, chance.oneOf(recordings)), chance);
    const what = (await targets.attack(aim, mutant, chance)) ?? unheard.take();
    if (what !== undefined) failures.push({ ...aim, seed: each, what, hex: hexOf(mutant) });
  }
  await targets.stop();
  unheard.stop();
  return failures;
}

/** Sends what once did harm; gives what does so again. */
export async function retry(): Promise<Failure[]> {
  const targets = new Targets();
  const failures: Failure[] = [];
  for (const failure of kept as Failure[]) {
    const what = await targets.attack(failure, Buffer.from(failure.hex, "hex"), new Chance(failure.seed));
    if (what !== undefined) failures.push({ ...failure, what });
  }
  await targets.stop();
  return failures;
}

/** Sends every recording as it is: who is not attacked does no harm. */
export async function unaltered(): Promise<(string | undefined)[]> {
  const targets = new Targets();
  const found: (string | undefined)[] = [];
  for (const recording of await record()) {
    for (const side of SIDES) {
      const aim = { session: recording.name, side, greeting: recording.greeting };
      found.push(await targets.attack(aim, bytesFor(side, recording), new Chance(1)));
    }
  }
  await targets.stop();
  return found;
}

function bytesFor(side: Side, { up, down }: Recording): Uint8Array {
  return side === "server" ? up : down;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** A promise that is rejected unheard is harm, too. */
function watchRejections(): { take(): string | undefined; stop(): void } {
  const seen: string[] = [];
  const onRejection = (error: unknown) => void seen.push(`unhandled rejection: ${String(error)}`);
  process.on("unhandledRejection", onRejection);
  return { take: () => seen.pop(), stop: () => void process.off("unhandledRejection", onRejection) };
}

/** The command line: `npm run fuzz -- --mutants 20000 --seed N`. */
export async function main(args: readonly string[]): Promise<void> {
  const number = (name: string, otherwise: number) => {
    const at = args.indexOf(`--${name}`);
    return at < 0 ? otherwise : Number(args[at + 1]);
  };
  const seed = number("seed", Date.now() % 1_000_000_000);
  const mutants = number("mutants", 20_000);
  console.log(`${mutants} mutants, seeds ${seed} to ${seed + mutants - 1}`);
  const start = process.hrtime.bigint();
  const failures = await fuzz(seed, mutants);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  console.log(`${(mutants / seconds).toFixed(0)} a second, ${failures.length} failures`);
  for (const failure of failures.slice(0, 20)) console.log(JSON.stringify(failure));
  if (failures.length > 0) process.exitCode = 1;
}

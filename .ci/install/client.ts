// Checked as client.cts and as client.mts.
import { type CallOptions, type Channel, Client, type ClientOptions, RapError, safe } from "@rap/client";

declare function sum(a: number, b: number): number;
declare function range(n: number): AsyncGenerator<number>;
declare function lengths(channel: Channel<string, number>): Promise<void>;

interface Bank {
  balance(account: string): bigint;
  history(): AsyncGenerator<{ amount: bigint }>;
}

const options: ClientOptions = { target: "tcp://localhost:9000", timeout: 5_000 };
const call: CallOptions = { timeout: 100, signal: AbortSignal.timeout(1_000) };

export async function main(): Promise<void> {
  await using client = new Client(options);
  await client.start();

  const add = client.register<typeof sum>("sum");
  const three: number = await add(1, 2);
  const five: number = await add.with(call)(three, 2);
  // @ts-expect-error: the arguments are those of the function
  await add("1", five);
  // @ts-expect-error: a generator is registered by registerGen
  client.register<typeof range>("range");

  for await (const item of client.registerGen<typeof range>("range")(3)) item.toFixed();

  await client.registerChannel<typeof lengths>("lengths")(async (channel) => {
    await channel.write("four");
    const length: number = await channel.readBody();
    // @ts-expect-error: the server reads text
    await channel.write(length);
  });

  const bank = client.service<Bank>("bank", { history: "stream" });
  const balance: bigint = await bank.balance("a");
  for await (const { amount } of bank.history()) if (amount > balance) break;

  const outcome = await safe(bank.balance("b"));
  if (!outcome.ok && outcome.error.code === "NOT_FOUND") throw new RapError("INTERNAL", outcome.error.message);
}

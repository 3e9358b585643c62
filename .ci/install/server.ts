// Checked as server.cts and as server.mts.
import {
  type Channel,
  context,
  inject,
  type Logger,
  RapChannel,
  RapError,
  RapService,
  Rpc,
  rpc,
  Server,
  type ServerOptions,
  singleton,
} from "@rap/server";

@singleton()
class Ledger {
  readonly entries: bigint[] = [];
}

@RapService({ group: "bank" })
class Bank {
  readonly #ledger: Ledger;

  constructor(@inject(Ledger) ledger: Ledger) {
    this.#ledger = ledger;
  }

  @Rpc({ timeout: 100, doc: "What an account holds." })
  balance(account: string): bigint {
    const found = this.#ledger.entries[Number(account)];
    if (found === undefined) throw new RapError("NOT_FOUND", `no account ${account}`);
    return found;
  }

  @RapChannel()
  async talk(channel: Channel<string, number>): Promise<void> {
    for await (const text of channel) await channel.write(text.length);
  }
}

const options: ServerOptions = { host: "localhost", port: 0, drainTimeout: 1_000 };

const slow = rpc({ timeout: 50 }, async (name: string): Promise<string> => {
  const log: Logger = context().log;
  log.info({ name });
  context().signal.throwIfAborted();
  return name;
});

export async function main(): Promise<number> {
  await using server = new Server(options)
    .register({ slow, sum: (a: number, b: number) => a + b })
    .registerChannel(async (channel: Channel<string, string>) => channel.end(), { name: "end" })
    .registerService(Bank);
  // @ts-expect-error: not a function
  server.register(1);
  const { port } = await server.listen();
  return port;
}

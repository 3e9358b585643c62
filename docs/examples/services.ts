import assert from "node:assert/strict";
import { Client } from "@rap/client";
import {
  type Channel,
  context,
  defineErrors,
  inject,
  RapChannel,
  RapService,
  Rpc,
  Server,
  singleton,
} from "@rap/server";
import * as z from "zod";

export const bankErrors = defineErrors({
  INSUFFICIENT_FUNDS: { code: "FAILED_PRECONDITION", data: z.object({ needed: z.number() }) },
});

@singleton()
class Ledger {
  balance(_account: string) {
    return 10;
  }
}

@RapService({ group: "bank" })
export class Bank {
  // Injected by token: that works with every compiler, injection by type alone does not.
  constructor(@inject(Ledger) private readonly ledger: Ledger) {}

  @Rpc({ input: [z.string(), z.number()] })
  async withdraw(account: string, amount: number): Promise<{ left: number; at: Date; big: bigint }> {
    context().signal.throwIfAborted();
    const left = this.ledger.balance(account) - amount;
    if (left < 0) throw bankErrors.INSUFFICIENT_FUNDS({ needed: -left });
    return { left, at: new Date(), big: 1n };
  }

  @Rpc()
  async *statement(account: string): AsyncGenerator<{ account: string; n: number }> {
    for (let n = 0; n < 3; n++) yield { account, n };
  }

  @RapChannel()
  async advice(channel: Channel<string, string>): Promise<void> {
    for await (const question of channel) await channel.write(`${question}? Save.`);
  }

  /** Without a decorator it is nobody's business. */
  rob(account: string) {
    return this.ledger.balance(account);
  }
}

export async function main() {
  await using server = new Server().registerService(Bank);
  const { port } = await server.listen({ port: 0 });
  await using client = new Client().addConn("localhost", port);
  await client.start();

  // The class's type becomes a typed object; its private members are not there. Methods that stream must be named.
  const bank = client.service<Bank>("bank", { statement: "stream", advice: "channel" });
  const { left, at, big } = await bank.withdraw("acc-1", 3);
  assert(left === 7 && at instanceof Date && big === 1n);
  await assert.rejects(bank.withdraw("acc-1", 99), (error) => {
    return bankErrors.INSUFFICIENT_FUNDS.is(error) && error.data.needed === 89;
  });

  for await (const { n } of bank.statement("acc-1")) console.log("entry", n);
  await bank.advice(async (channel) => {
    await channel.write("What now");
    console.log(await channel.readBody());
  });
  await assert.rejects(bank.rob("acc-1"), { code: "NOT_FOUND" });
}

import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { CODEC, createContainer, inject, LOGGER, type Logger, RapService, Rpc, Server } from "@rap/server";
import { Packr } from "msgpackr";

/** Another codec behind rap's interface. Both sides must have it: they agree on it by its name. */
class MsgpackrCodec {
  readonly name = "msgpackr";
  readonly #packr = new Packr({ useRecords: false, moreTypes: true });

  encode(value: unknown): Uint8Array {
    return this.#packr.pack(value);
  }

  decode(bytes: Uint8Array, start: number, end: number): unknown {
    return this.#packr.unpack(bytes.subarray(start, end));
  }
}

class Mailer {
  async send(to: string): Promise<string> {
    throw new Error(`no mail to ${to} from a test`);
  }
}

@RapService()
class Welcome {
  constructor(
    @inject(Mailer) private readonly mailer: Mailer,
    @inject(LOGGER) private readonly logger: Logger, // what the server has can be injected, too
  ) {}

  @Rpc()
  async welcome(to: string): Promise<string> {
    this.logger.info({ to }, "welcome");
    return this.mailer.send(to);
  }
}

export async function main() {
  // Nothing is global: what is registered here is for those who are given this container.
  const container = createContainer();
  container.register(CODEC, { useValue: new MsgpackrCodec() });
  container.register(Mailer, { useValue: { send: async (to: string) => `a letter to ${to}` } });

  await using server = new Server({ container }).registerService(Welcome);
  const { port } = await server.listen({ port: 0 });
  await using client = new Client({ container }).addConn("localhost", port);
  await client.start();
  console.log(await client.invokeByName("welcome", ["Ada"]));

  await using other = new Client().addConn("localhost", port);
  const refusal = await other.start().catch((error: unknown) => error);
  assert(refusal instanceof Error);
  console.log(refusal.message);
}

import { Client } from "@rap/client";
import { msgpackr } from "@rap/codec-msgpackr";
import { CODEC, createContainer, inject, LOGGER, type Logger, RapService, Rpc, Server } from "@rap/server";

class Mailer {
  async send(to: string): Promise<string> {
    throw new Error(`no mail to ${to} from an example`);
  }
}

@RapService()
class Welcome {
  constructor(
    @inject(Mailer) private readonly mailer: Mailer,
    @inject(LOGGER) private readonly logger: Logger,
  ) {}

  @Rpc()
  async welcome(to: string): Promise<string> {
    this.logger.info({ to }, "a new user");
    return this.mailer.send(to);
  }
}

export async function main() {
  // Nothing is global: what is registered here is for those who are given this container.
  const container = createContainer();
  container.register(Mailer, { useValue: { send: async (to: string) => `a letter to ${to}` } });

  // The parts of rap have tokens: the codec, the clock, where log lines go …
  const lines: string[] = [];
  const logger: Logger = { debug() {}, info: (_, text) => lines.push(String(text)), warn() {}, error() {} };
  container.register(CODEC, { useValue: msgpackr() });
  container.register(LOGGER, { useValue: logger });

  await using server = new Server({ container }).registerService(Welcome);
  const { port } = await server.listen({ port: 0 });
  await using client = new Client({ container }).addConn("localhost", port);
  await client.start();
  console.log(await client.invokeByName("welcome", ["Ada"]));
  console.log("logged:", lines.join());
}

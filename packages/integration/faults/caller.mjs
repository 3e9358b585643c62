// A client in a process of its own, to be killed and stopped.
import { Client } from "@rap/client";
import { answer, options } from "./child.mjs";
import { Ledger, pause, token, until } from "./token.mjs";

const client = await new Client(options()).start();

answer({
  /** Calls that nobody will answer. */
  hold(count) {
    for (let i = 0; i < count; i++) client.invokeByName("patient", [60_000], { timeout: 60_000 }).catch(() => {});
  },
  /** So many calls a second for `time`, and what became of them. */
  async steady(time, perSecond, deadline) {
    const echo = client.register("echo", { timeout: deadline });
    const ledger = new Ledger();
    const end = performance.now() + time;
    for (let n = 0; performance.now() < end; n++) {
      void ledger.call(echo, token("steady", n), deadline);
      await pause(1_000 / perSecond);
    }
    await until(() => ledger.open === 0, deadline + 2_000);
    const { calls, ok, wrong, twice, open, errorText } = ledger;
    return { calls, ok, wrong, twice, open, errors: errorText };
  },
});

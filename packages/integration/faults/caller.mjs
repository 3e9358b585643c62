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
  /** So many calls a second for `time`, beside `held` that nobody will answer, and what became of them. */
  async steady(time, perSecond, deadline, held) {
    const echo = client.register("echo", { timeout: deadline });
    const patient = client.register("patient", { timeout: deadline });
    const ledger = new Ledger();
    const history = [];
    const call = async (fn, asked) => {
      const began = performance.now();
      await ledger.call(fn, asked, deadline);
      history.push({ began, ended: performance.now() });
    };
    for (let n = 0; n < held; n++) void call(() => patient(60_000), token("held", n));
    const end = performance.now() + time;
    let resumed = 0;
    for (let n = 0; performance.now() < end; n++) {
      void call(echo, token("steady", n));
      const before = performance.now();
      await pause(1_000 / perSecond);
      if (performance.now() - before > 1_000) resumed = performance.now();
    }
    await until(() => ledger.open === 0, deadline + 2_000);
    // What was due while this process stood still is due as it goes on.
    const due = (began) => Math.max(began + deadline, resumed);
    const late = history.filter(({ began, ended }) => ended > due(began) + 1_000).length;
    const { calls, ok, wrong, twice, open, errorText } = ledger;
    return { calls, ok, wrong, twice, open, late, errors: errorText };
  },
});

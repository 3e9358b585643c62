import { messageOf, RapError } from "@rap/protocol";
import { type ConnMiddleware, connMiddleware, messageMiddleware } from "../src";
import { middlewareCompliance } from "../src/compliance";

middlewareCompliance("connMiddleware that lets all pass", () => connMiddleware(async (_conn, next) => next()));

class Door implements ConnMiddleware {
  readonly kind = "conn";
  open = 0;

  filter({ remotePort }: { remotePort: number }): boolean {
    return remotePort !== 23;
  }

  async dispatch(...[conn, next]: Parameters<ConnMiddleware["dispatch"]>): Promise<void> {
    if (!this.filter(conn)) return conn.close(`port ${conn.remotePort} is not welcome`);
    this.open++;
    try {
      await next();
    } finally {
      this.open--;
    }
  }
}

middlewareCompliance("of a class with a filter", () => new Door(), { refuses: [{ remotePort: 23 }] });

middlewareCompliance("messageMiddleware that lets all pass", () => messageMiddleware((_ctx, args, next) => next(args)));

middlewareCompliance(
  "messageMiddleware that changes arguments and maps errors",
  () =>
    messageMiddleware(async (ctx, [first, ...rest], next) => {
      ctx.values.set(Symbol.for("first"), first);
      try {
        return await next([Number(first) * 10, ...rest]);
      } catch (error) {
        throw new RapError("ABORTED", messageOf(error));
      }
    }),
  { args: [1, 2] },
);

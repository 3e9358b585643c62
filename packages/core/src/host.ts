import type { AnyFn, Clock, Limits } from "@rap/protocol";
import type { Container } from "./container";
import type { Connection } from "./context";
import type { MethodOptions } from "./function";
import type { Logger } from "./logger";

/** The server, as far as its plugins see it. */
export interface Host {
  readonly container: Container;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly limits: Limits;
  /** Registers functions; plugins register their administration as private functions in a group of their own. */
  register(fns: Readonly<Record<string, AnyFn>>, options?: Pick<MethodOptions, "group" | "private">): unknown;
  /** The connections that are open now. */
  connections(): readonly Connection[];
}

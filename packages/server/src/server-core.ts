import type { ConnMiddleware, MessageMiddleware, ProcessorChain } from "@rap/core";
import type { CallLimit, Clock, Codec, Limits, RapError, SecureLayer } from "@rap/protocol";
import type { PauseLimit, Refusal, TimerWheel } from "@rap/transport";
import type { Admission } from "./admission";
import type { Dispatcher } from "./dispatcher";
import type { FailureOptions } from "./failure";
import type { PlaceLimit } from "./refusals";
import type { ServerConnection } from "./server-connection";
import type { WorkerPool } from "./worker";

/** What connections need of their server. */
export interface ServerCore extends FailureOptions {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly codecs: readonly Codec[];
  readonly info: string;
  readonly dispatcher: Dispatcher;
  readonly admission: Admission;
  readonly workers: WorkerPool;
  readonly connMiddleware: readonly ConnMiddleware[];
  readonly messageMiddleware: readonly MessageMiddleware[];
  /** undefined while none looks at messages: then nothing on a call's way asks for them. */
  processors: ProcessorChain | undefined;
  /** What makes connections secure, if one of the processors does. */
  secure: SecureLayer | undefined;
  inFlight: number;
  readonly refusals: Readonly<Record<PlaceLimit, Refusal>>;
  readonly refused: Record<CallLimit, number>;
  readonly paused: Record<PauseLimit, number>;
  left(connection: ServerConnection, error: RapError | undefined): void;
}

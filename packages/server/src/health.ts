import { context, Gate, must, oneOf } from "@rap/core";
import { RapError } from "@rap/protocol";
import type { Registry } from "./registry";

/** Health of a service, with gRPC's names. */
export type HealthStatus = "UNKNOWN" | "SERVING" | "NOT_SERVING" | "SERVICE_UNKNOWN";

const GROUP = "rap.health.v1";

const isService = must("a text", (value) => typeof value === "string");
const isStatus = oneOf("SERVING", "NOT_SERVING");

/** The health of a server (`""`) and of whatever services its application names; NOT_SERVING once it drains. */
export class Health {
  readonly #statuses = new Map<string, HealthStatus>([["", "SERVING"]]);
  readonly #changed = new Gate();
  #draining = false;

  set(service: string, status: "SERVING" | "NOT_SERVING"): void {
    isService(service, "the service of setHealth()");
    isStatus(status, "the status of setHealth()");
    this.#statuses.set(service, status);
    this.#changed.open();
  }

  /** Every service is NOT_SERVING from now on. */
  drain(): void {
    this.#draining = true;
    this.#changed.open();
  }

  get(service: string): HealthStatus {
    const status = this.#statuses.get(service);
    if (status === undefined) return "SERVICE_UNKNOWN";
    return this.#draining ? "NOT_SERVING" : status;
  }

  /** Registers `Check`, `Watch` and `List` in the group `rap.health.v1`. */
  register(registry: Registry): void {
    registry.registerOwn(
      {
        Check: (service: unknown = "") => this.#check(String(service)),
        Watch: (service: unknown = "") => this.#watch(String(service), context().signal),
        List: () => ({
          statuses: Object.fromEntries([...this.#statuses.keys()].map((service) => [service, this.get(service)])),
        }),
      },
      { group: GROUP },
    );
  }

  #check(service: string): { status: HealthStatus } {
    const status = this.get(service);
    if (status === "SERVICE_UNKNOWN") throw new RapError("NOT_FOUND", `there is no service ${JSON.stringify(service)}`);
    return { status };
  }

  /** The status now, and whenever it changes; a service that is not known may become so. */
  async *#watch(service: string, signal: AbortSignal): AsyncGenerator<{ status: HealthStatus }> {
    const wake = () => this.#changed.open();
    signal.addEventListener("abort", wake, { once: true });
    try {
      let last: HealthStatus | undefined;
      while (!signal.aborted) {
        const status = this.get(service);
        if (status === last) {
          await this.#changed.wait();
          continue;
        }
        last = status;
        yield { status };
        // A server that stops ends the watch rather than wait for its watchers.
        if (this.#draining) return;
      }
    } finally {
      signal.removeEventListener("abort", wake);
    }
  }
}

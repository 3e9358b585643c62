import { ProcessClock, type VirtualTime } from "./virtual-time";

/**
 * One run of a program on a machine, be it a client or a server: it has a clock of its own, and once it is killed
 * nothing in it happens any more.
 */
export class Machine {
  readonly name: string;
  readonly clock: ProcessClock;
  alive = true;
  /** Gone without a word: what is sent to it is not even refused. */
  dark = false;

  constructor(name: string, time: VirtualTime, lateness?: () => number) {
    this.name = name;
    this.clock = new ProcessClock(time, lateness);
  }

  /** Stops at once, as by SIGKILL; `dark`: as by pulling the plug. */
  kill(dark: boolean): void {
    this.alive = false;
    this.dark = dark;
    this.clock.stop();
  }
}

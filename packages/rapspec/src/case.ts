import type { Secrets } from "./instruction";
import type { Subject } from "./subject";

/** What a case has to do with. */
export interface Bench {
  readonly subject: Subject;
  /** Whether to compare texts for people with those of our own implementation, too. */
  readonly texts: boolean;
  /** Certificates for a server and for a client, and the authority that signed them; made once, when first asked for. */
  certificates(): Promise<Identities>;
}

/** PEM texts. */
export interface Identities {
  readonly ca: string;
  readonly server: Required<Pick<NonNullable<Secrets["tls"]>, "cert" | "key">>;
  readonly client: Required<Pick<NonNullable<Secrets["tls"]>, "cert" | "key">>;
}

/** One row of the suite. */
export interface Case {
  /** Which table it is in. */
  readonly section: string;
  readonly name: string;
  /** The one outcome that is right, in words. */
  readonly gives: string;
  /** It measures something that others at the same time would spoil. */
  readonly alone?: true;
  /** Rejects when anything else comes of it. */
  run(bench: Bench): Promise<void>;
}

export type ListName = "allow" | "block";

/** Both lists as they were at one moment. */
export interface IpLists {
  /** Differs whenever the lists do. */
  readonly version: string;
  readonly allow: readonly string[];
  readonly block: readonly string[];
}

/** Keeps the lists of several servers. An error means that nothing is known; the lists that are loaded stay. */
export interface IpListStore {
  /** The lists; undefined if they are still those of `version`. */
  load(version: string | undefined): Promise<IpLists | undefined>;
  /** Adds an entry to a list and takes it out of the other. Resolves with whether that changed anything. */
  add(list: ListName, entry: string): Promise<boolean>;
  /** Takes an entry out of a list. Resolves with whether it was there. */
  remove(list: ListName, entry: string): Promise<boolean>;
}

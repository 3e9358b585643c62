/** What seals records. AES is faster where the processor has instructions for it, as nearly all have. */
export type Suite = "aes-256-gcm" | "chacha20-poly1305";

/** Their numbers on the wire. */
const NUMBERS: ReadonlyMap<Suite, number> = new Map([
  ["aes-256-gcm", 1],
  ["chacha20-poly1305", 2],
]);

/** The suites that a user allows, in order of preference. Throws a TypeError for one that does not exist, or none. */
export function suitesOf(given: readonly Suite[] | undefined, others: readonly Suite[] = [...NUMBERS.keys()]) {
  const names = given === undefined ? others : given;
  if (!Array.isArray(names) || names.length === 0 || names.some((name) => !NUMBERS.has(name))) {
    const message = `suites are a list of one or more of ${[...NUMBERS.keys()].join(", ")}`;
    throw Object.assign(new TypeError(message), { code: "ERR_RAP_SUITE" });
  }
  return [...new Set(names)];
}

export function suiteNumber(suite: Suite): number {
  return NUMBERS.get(suite)!;
}

/** undefined for one that this version does not know. */
export function suiteOf(number: number): Suite | undefined {
  return [...NUMBERS].find(([, known]) => known === number)?.[0];
}

/**
 * A value of the codec as JSON. What JSON cannot say is an object of one key: `{"$undefined": true}`,
 * `{"$number": "-0"}`, `{"$bigint": "5"}`, `{"$bytes": "00ff"}` (hex), `{"$date": 1000}`, `{"$map": [[key, value]]}`,
 * `{"$set": [member]}`.
 */
export type Tagged = null | boolean | number | string | readonly Tagged[] | { readonly [key: string]: Tagged };

/** A value as JSON. Throws TypeError for one that the codec does not carry either. */
export function tag(value: unknown): Tagged {
  switch (typeof value) {
    case "undefined":
      return { $undefined: true };
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $number: Object.is(value, -0) ? "-0" : `${value}` };
    case "bigint":
      return { $bigint: `${value}` };
    case "string":
    case "boolean":
      return value;
    case "object":
      return value === null ? null : tagObject(value);
    default:
      throw new TypeError(`a ${typeof value} has no place in JSON`);
  }
}

function tagObject(value: object): Tagged {
  if (Array.isArray(value)) return value.map(tag);
  if (value instanceof Uint8Array) return { $bytes: toHex(value) };
  if (value instanceof Date) return { $date: value.getTime() };
  if (value instanceof Map) return { $map: [...value].map(([key, each]) => [tag(key), tag(each)]) };
  if (value instanceof Set) return { $set: [...value].map(tag) };
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, tag(each)]));
}

/** The value behind {@link tag}. */
export function untag(tagged: unknown): unknown {
  if (typeof tagged !== "object" || tagged === null) return tagged;
  if (Array.isArray(tagged)) return tagged.map(untag);
  const entries = Object.entries(tagged);
  const [name, content] = entries[0] ?? [];
  switch (name) {
    case "$undefined":
      return undefined;
    case "$number":
      return Number(content);
    case "$bigint":
      return BigInt(content);
    case "$bytes":
      return fromHex(content);
    case "$date":
      return new Date(content);
    case "$map":
      return new Map(content.map(untag));
    case "$set":
      return new Set(content.map(untag));
    default:
      return Object.fromEntries(entries.map(([key, value]) => [key, untag(value)]));
  }
}

/** Bytes of hex digits; spaces between fields are for the reader. */
export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

/** Bytes as hex digits. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

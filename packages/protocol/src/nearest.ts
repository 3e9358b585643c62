/** Characters of a name that are looked at. */
const MOST = 64;

/** The known name that a wrong one is a slip or another spelling of (`ssl_crt_path`, `sslCert`), if there is one. */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const wrong = plain(name);
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const known of names) {
    const right = plain(known);
    const begins = wrong.length > 2 && (right.startsWith(wrong) || wrong.startsWith(right));
    const edits = begins ? 1 : distance(wrong, right);
    if (edits < least && edits <= Math.max(1, right.length / 3)) {
      best = known;
      least = edits;
    }
  }
  return best;
}

function plain(name: string): string {
  return name.slice(0, MOST).replace(/[_-]/g, "").toLowerCase();
}

/** Characters to insert, remove, replace or swap with the next to make one text of another (Damerau 1964, restricted). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : replaced;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, replaced, swapped));
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}

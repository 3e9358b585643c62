/** The middle of numbers; undefined if there are none. */
function median(numbers) {
  const sorted = numbers.filter((number) => number !== undefined).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The median over rounds of a value that one contender has. */
function typical(rounds, name, value) {
  return median(rounds.map((round) => (has(round[name]) ? value(round[name]) : undefined)));
}

/** The median, over the rounds that have both, of a value of one contender divided by that of another. */
function ratio(rounds, name, other, value = ({ rate }) => rate) {
  const both = rounds.filter((round) => has(round[name]) && has(round[other]));
  return median(both.map((round) => value(round[name]) / value(round[other])));
}

function has(result) {
  return result !== undefined && result.error === undefined;
}

module.exports = { has, median, ratio, typical };

/**
 * What `workers.ts` runs in threads: JavaScript, or TypeScript that was compiled before.
 *
 * @param {number} limit
 * @returns {number} how many primes are below `limit`
 */
export function countPrimes(limit) {
  let count = 0;
  for (let n = 2; n < limit; n++) {
    let prime = true;
    for (let d = 2; d * d <= n && prime; d++) prime = n % d !== 0;
    if (prime) count++;
  }
  return count;
}

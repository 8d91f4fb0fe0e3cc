/** backoff returns the milliseconds to wait before try n (from 0): anything up to 0.2 s doubled with each try, at most 30 s, so that a thousand pages do not come back at once. */
export function backoff(n: number, random: () => number = Math.random): number {
  return random() * Math.min(30_000, 200 * 2 ** Math.min(n, 20));
}

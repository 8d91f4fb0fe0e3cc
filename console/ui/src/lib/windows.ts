// How much event time a chart shows.

const MIN = 60_000;
const HOUR = 60 * MIN;
const DAY = 24 * HOUR;
const CHOICES = [MIN, 5 * MIN, 15 * MIN, HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY, 360 * DAY];

/** windowChoices returns the spans worth offering for readings that are `grid` milliseconds apart, and the one to begin with. */
export function windowChoices(grid: number): { choices: number[]; usual: number } {
  const steps = (w: number) => w / Math.max(grid, 1);
  const good = CHOICES.filter((w) => steps(w) >= 20 && steps(w) <= 5000);
  const choices = good.length > 0 ? good.slice(-5) : [1000 * grid];
  // Some hundreds of points fill a chart.
  const far = (w: number) => Math.abs(Math.log(steps(w) / 300));
  const usual = choices.reduce((best, w) => (far(w) < far(best) ? w : best));
  return { choices, usual };
}

/** ticks writes the values of an axis with as many decimals as their distance needs. */
export function ticks(values: number[]): string[] {
  const step = values.length > 1 ? Math.abs(values[1]! - values[0]!) : 0;
  const decimals = step > 0 ? Math.min(6, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9))) : 0;
  // 0.25 apart needs two decimals, though its size says one.
  const more = step > 0 && Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-6 ? 1 : 0;
  return values.map((v) => (step > 0 ? v.toFixed(decimals + more) : String(Number(v.toPrecision(6)))));
}

/**
 * visible returns the span of time to draw: `reach` back from the last point, or from the first where there are not as many; 0 is all.
 */
export function visible(first: number, last: number, reach: number): [number, number] {
  if (!(last > 0)) return [0, 1];
  if (reach === 0) return [first, Math.max(last, first + 1)];
  return [Math.max(last - reach, Math.min(first, last - reach / 20)), last];
}

/**
 * steadyRange widens or narrows the range of a chart's axis only when it must, so that the picture does not breathe with every point: it grows when
 * a point falls outside, and shrinks when the points use less than half of it.
 */
export function steadyRange(held: [number, number] | null, low: number, high: number): [number, number] {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return held ?? [0, 1];
  // Points that do not move are not magnified.
  const flat = Math.max(Math.abs(high), 1e-9) * 2e-3;
  const size = Math.max(high - low, flat);
  if (held && low >= held[0] && high <= held[1] && size > 0.5 * (held[1] - held[0])) return held;
  const pad = 0.12 * size;
  return [low - pad, high + pad];
}

/** around returns the span to show of what lies between two instants of an address, with as much before it again and half as much after; null where they are none. */
export function around(from: string | undefined, to: string | undefined): { from: number; to: number } | null {
  const [a, b] = [Number(from), Number(to)];
  if (!(a > 0 && b >= a)) return null;
  const wide = Math.max(b - a, 1000);
  return { from: a - wide, to: b + wide / 2 };
}

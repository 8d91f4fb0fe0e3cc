// Numbers, times and names as people read them. All are pure.

const thousands = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** count writes a whole number: 12,345, from a million on 1.23 M. */
export function count(n: number | null | undefined): string {
  if (n == null || !Number.isFinite(n)) return '–';
  const a = Math.abs(n);
  if (a >= 1e9) return `${(n / 1e9).toFixed(2)} G`;
  if (a >= 1e6) return `${(n / 1e6).toFixed(2)} M`;
  return thousands.format(n);
}

/** rate writes a number a second with about three digits: 0.4, 12.5, 1,234, 56.7 k. */
export function rate(n: number | null | undefined): string {
  if (n == null || !Number.isFinite(n)) return '–';
  const a = Math.abs(n);
  if (a >= 1e6) return `${(n / 1e6).toFixed(2)} M`;
  if (a >= 1e5) return `${(n / 1e3).toFixed(0)} k`;
  if (a >= 1e4) return `${(n / 1e3).toFixed(1)} k`;
  if (a >= 100 || a === 0) return thousands.format(n);
  if (a < 0.05) return '0';
  return n.toFixed(1);
}

/** seconds writes a duration that may be very short: 420 µs, 1.8 ms, 2.4 s, 3 min. */
export function seconds(s: number | null | undefined): string {
  if (s == null || !Number.isFinite(s)) return '–';
  if (s === 0) return '0';
  if (s < 0.9995e-3) return `${Math.round(s * 1e6)} µs`;
  if (s < 9.995e-3) return `${(s * 1e3).toFixed(1)} ms`;
  if (s < 0.9995) return `${Math.round(s * 1e3)} ms`;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  return duration(s);
}

/** duration writes how long something takes or took, in whole units: 5 s, 3 min, 5 h, 2 d. */
export function duration(s: number | null | undefined): string {
  if (s == null || !Number.isFinite(s)) return '–';
  if (s < 100) return `${Math.round(s)} s`;
  if (s < 5970) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

/** span writes a window's length: 15 min, 6 h, 14 d. */
export function span(ms: number): string {
  const s = ms / 1000;
  for (const [size, unit] of [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min'],
  ] as const) {
    if (s >= size && s % size === 0) return `${s / size} ${unit}`;
  }
  return `${s} s`;
}

/** bytes writes a size: 812 B, 1.2 MiB. */
export function bytes(n: number | null | undefined): string {
  if (n == null || !Number.isFinite(n)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${n >= 100 || i === 0 ? n.toFixed(0) : n.toFixed(1)} ${units[i]}`;
}

/** value writes a reading with five significant digits, without exponents for common sizes. */
export function value(n: number | null | undefined): string {
  if (n == null || !Number.isFinite(n)) return '–';
  const a = Math.abs(n);
  if (a !== 0 && (a < 1e-3 || a >= 1e7)) return n.toExponential(2);
  const digits = a === 0 ? 0 : Math.max(0, Math.min(4, 4 - Math.floor(Math.log10(a))));
  return n.toFixed(Math.min(digits, 3));
}

/** score writes a model's value in its unit with a steady number of digits. */
export function score(n: number | null | undefined, unit: string): string {
  if (n == null || !Number.isFinite(n)) return '–';
  return `${unit === 'cycles' ? n.toFixed(0) : n.toFixed(2)} ${unitName(unit)}`.trim();
}

/** unitName writes out what a model's unit is called. */
export function unitName(unit: string): string {
  return unit === 'sd' ? 'σ' : unit;
}

/** percent writes a share of one. */
export function percent(n: number | null | undefined): string {
  if (n == null || !Number.isFinite(n)) return '–';
  return `${(100 * n).toFixed(n < 0.0995 ? 1 : 0)} %`;
}

/** stamp writes an instant in UTC, as far as it differs from others: 2020-01-09 17:00, with seconds where they matter. */
export function stamp(ms: number | null | undefined, precise = false): string {
  if (ms == null || !Number.isFinite(ms) || ms <= 0) return '–';
  const iso = new Date(ms).toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, precise ? 19 : 16)}`;
}

/** ago writes how long an instant of the wall clock is past. */
export function ago(ms: number | null | undefined, now: number): string {
  if (ms == null || !Number.isFinite(ms) || ms <= 0) return '–';
  const s = Math.max(0, (now - ms) / 1000);
  if (s < 1.5) return 'now';
  return `${duration(Math.floor(s))} ago`;
}

/** task writes what a pipeline's model does. */
export function task(name: string): string {
  if (name === 'remaining-life') return 'Remaining life';
  if (name === 'anomaly') return 'Anomaly';
  if (name === 'score') return 'Score';
  if (name === 'classification') return 'Classification';
  if (name === 'detection') return 'Detection';
  if (name === 'aggregate') return 'Window values';
  return name;
}

/** valueName writes what a model's value means. */
export function valueName(task: string): string {
  if (task === 'remaining-life') return 'Remaining life';
  if (task === 'anomaly') return 'Forecast error';
  return 'Value';
}

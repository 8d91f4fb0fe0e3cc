// Models side by side: the table of models × scenarios, and what each costs, as the API tells of it and as people read it. All is pure.

import { bytes, duration, seconds, unitName } from './format.ts';
import type { Version } from './loop.ts';

export interface Scenario {
  name: string;
  /** Whether the gate asks about it. */
  judged: boolean;
  detail?: string;
  windows: number;
  assets: number;
}

export interface Cost {
  version: string;
  network: string;
  p50_ns: number;
  p99_ns: number;
  cpu_seconds_per_million: number | null;
  joules_per_million: number | null;
  bytes: number;
  training_seconds: number | null;
  training_cpu_seconds: number | null;
  training_joules?: number | null;
  retrainings_a_week: number | null;
  alarms_a_week: number | null;
}

export interface Cell {
  scenario: string;
  version: string;
  value: number | null;
  low: number | null;
  high: number | null;
  loss: number | null;
}

export interface Evaluation {
  id: string;
  who?: string;
  why?: string;
  pipeline: string;
  task: string;
  /** Unix nanoseconds */
  time: number;
  digest: string;
  metric: string;
  unit?: string;
  level: number;
  scenarios: Scenario[] | null;
  versions: Cost[] | null;
  cells: Cell[] | null;
}

/** counted names what a table's scenarios have: frames of cameras, or windows of assets. */
export function counted(t: Pick<Evaluation, 'metric'>): [string, string] {
  return t.metric === 'error' || t.metric === '1-f1' ? ['Frames', 'Cameras'] : ['Windows', 'Assets'];
}

/** metricName writes what the cells are; of every metric less is better. */
export function metricName(t: Pick<Evaluation, 'metric' | 'unit'>): string {
  const name = { rmse: 'RMSE', brier: 'Brier score', error: 'Share of errors', '1-f1': '1 − F1' }[t.metric] ?? t.metric;
  return t.unit ? `${name}, ${unitName(t.unit)}` : name;
}

/** written writes a cell: the value and the ends of its interval with as many decimals as the interval's width has meaning for; no interval leaves the range empty. */
export function written(c: Pick<Cell, 'value' | 'low' | 'high'> | undefined): { value: string; range: string } {
  if (c?.value == null) return { value: '–', range: '' };
  if (c.low == null || c.high == null) return { value: decimals(c.value, c.value, 4), range: '' };
  const width = c.high - c.low || c.value;
  return { value: decimals(c.value, width, 2), range: `${decimals(c.low, width, 2)} to ${decimals(c.high, width, 2)}` };
}

/** decimals writes n so that of scale so many digits are seen, between 0 and 6 behind the point. */
function decimals(n: number, scale: number, seen: number): string {
  const a = Math.abs(scale);
  const places = a === 0 ? 0 : seen - 1 - Math.floor(Math.log10(a));
  return n.toFixed(Math.max(0, Math.min(6, places)));
}

/**
 * standing tells how a cell is to the one of the version that others are held against: better or worse only where the intervals do not overlap. That is more careful than the gate's own
 * statistics, which are paired. Without intervals nothing is said.
 */
export function standing(c: Cell | undefined, against: Cell | undefined): 'better' | 'worse' | undefined {
  if (!c || !against || c.version === against.version) return undefined;
  if (c.low == null || c.high == null || against.low == null || against.high == null) return undefined;
  if (c.high < against.low) return 'better';
  if (c.low > against.high) return 'worse';
  return undefined;
}

/** reference is the version that others are held against: the champion where the table has it, else the first. */
export function reference(t: Evaluation, champion: string | undefined): string | undefined {
  const all = t.versions ?? [];
  return (all.find((v) => v.version === champion) ?? all[0])?.version;
}

export interface Row {
  scenario: Scenario;
  cells: { version: string; value: string; range: string; standing?: 'better' | 'worse' }[];
}

/** rows are the table's, a scenario each, with a cell for each version whatever the order the cells came in. */
export function rows(t: Evaluation, against: string | undefined): Row[] {
  const key = (scenario: string, version: string) => `${scenario}\n${version}`;
  const at = new Map((t.cells ?? []).map((c) => [key(c.scenario, c.version), c]));
  return (t.scenarios ?? []).map((s) => ({
    scenario: s,
    cells: (t.versions ?? []).map((v) => {
      const c = at.get(key(s.name, v.version));
      const how = standing(c, at.get(key(s.name, against ?? '')));
      return { version: v.version, ...written(c), ...(how && { standing: how }) };
    }),
  }));
}

export interface CostRow {
  label: string;
  title: string;
  /** times is how many times the reference's it is: 1.4×; empty where that says nothing. */
  cells: { version: string; text: string; times: string }[];
}

const few = (n: number) => (n === 0 ? '0' : n >= 100 ? n.toFixed(0) : String(Number(n.toPrecision(3))));

/** spent writes what a training took, finely enough to tell two apart. */
const spent = (s: number) => (s < 1000 ? `${few(s)} s` : duration(s));

/** Of what a meter measures it is said where none can be read, so that a dash is not taken for nothing. */
const kinds: { label: string; title: string; of: (c: Cost) => number | null | undefined; write: (n: number) => string; meter?: true }[] = [
  { label: 'p50 of one', title: 'One alone through the model: half took less', of: (c) => c.p50_ns || null, write: (n) => seconds(n / 1e9) },
  { label: 'p99 of one', title: 'One alone through the model: one of a hundred took more', of: (c) => c.p99_ns || null, write: (n) => seconds(n / 1e9) },
  { label: 'CPU-seconds a million', title: 'Of one core, in the runs that serving makes', of: (c) => c.cpu_seconds_per_million, write: few },
  { label: 'Joules a million', title: 'With all else that ran meanwhile on what is measured', of: (c) => c.joules_per_million, write: few, meter: true },
  { label: 'Size', title: 'Of the model’s file', of: (c) => c.bytes || null, write: bytes },
  { label: 'Training', title: 'What making it took, by the clock', of: (c) => c.training_seconds, write: spent },
  { label: 'Training, CPU', title: 'What making it took of the processors', of: (c) => c.training_cpu_seconds, write: spent },
  { label: 'Training, joules', title: 'What processors and devices drew meanwhile, where the machine that made it could measure', of: (c) => c.training_joules, write: few, meter: true },
  { label: 'Retrainings a week', title: 'Trainings that began while it was champion', of: (c) => c.retrainings_a_week, write: few },
  { label: 'Alarms a week', title: 'Alarms about it', of: (c) => c.alarms_a_week, write: few },
];

/** costs are what each version takes; a row that is known of none is left out, but for what a meter would tell. */
export function costs(t: Evaluation, against: string | undefined): CostRow[] {
  const all = t.versions ?? [];
  const base = all.find((v) => v.version === against);
  return kinds
    .filter((k) => all.length > 0 && (k.meter || all.some((v) => k.of(v) != null)))
    .map((k) => ({
      label: k.label,
      title: k.title,
      cells: all.map((v) => {
        const n = k.of(v);
        const of = base && v !== base ? k.of(base) : null;
        return { version: v.version, text: n == null ? (k.meter ? 'not measured' : '–') : k.write(n), times: n && of ? `${Number((n / of).toPrecision(2))}×` : '' };
      }),
    }));
}

/** merged puts a table that was just made among the stored ones, newest first and each once. */
export function merged(stored: Evaluation[], made: Evaluation | undefined): Evaluation[] {
  const all = made && !stored.some((t) => t.id === made.id) ? [made, ...stored] : [...stored];
  return all.sort((a, b) => b.time - a.time);
}

/** shownFirst is the table that is looked at when nobody has chosen one: that of the campaign's gate, else the newest. */
export function shownFirst(all: Evaluation[], challenger: string | undefined): Evaluation | undefined {
  return all.find((t) => ofGate(t, challenger)) ?? all[0];
}

/** ofGate reports whether the gate judged that challenger by the table. */
export function ofGate(t: Evaluation, challenger: string | undefined): boolean {
  return t.who === 'gate' && !!challenger && (t.versions ?? []).some((v) => v.version === challenger);
}

/** preset are the versions that a comparison begins with: champion and challenger, and where there is no such the newest, two in all. */
export function preset(all: Version[]): string[] {
  const place = (v: Version) => (v.aliases.includes('champion') ? 0 : v.aliases.includes('challenger') ? 1 : 2);
  return [...all]
    .sort((a, b) => place(a) - place(b) || Date.parse(b.added) - Date.parse(a.added))
    .slice(0, 2)
    .map((v) => v.version);
}

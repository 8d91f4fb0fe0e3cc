// What the appliance tells of drift, and what is computed from it. All is pure.

export interface Drift {
  pipelines: { pipeline: string; version: string; rounds: number; end: string; drifted: number; standing: number }[];
  pipeline: string;
  version: string;
  reference: string;
  /** unit is what is counted: windows, or frames of a pipeline of cameras. */
  unit: 'windows' | 'frames';
  versions: { version: string; rounds: number; end: string; alias: string }[];
  windows: number;
  rounds: number;
  began: number;
  features: Feature[];
  estimates: Estimate[];
  alarms: Alarm[];
}

export interface Feature {
  feature: string;
  role: string;
  group: string;
  windows: number;
  assets: number;
  effective: number;
  before: number;
  now: number;
  deviation: number;
  ks: number;
  psi: number;
  q: number;
  measure: string;
  drifted: boolean;
  streak: number;
  furthest: string[];
  counts: number[];
  expected: number[];
  history: { ms: number; ks: number; q: number; now: number; before: number; drifted: boolean }[];
}

export interface Estimate {
  metric: string;
  points: { ms: number; value: number | null; before: number | null; error: number | null; realised: number | null; settled: number }[];
}

export interface Alarm {
  id: string;
  kind: string;
  version: string;
  since: string;
  at: string;
  over: boolean;
  loss: number | null;
  before: number | null;
  detail: string;
  causes: { feature: string; group: string; assets: string[]; size: number; before: number; now: number }[];
}

/** changed counts the features that count as changed now. */
export function changed(d: Drift): number {
  return d.features.filter((f) => f.drifted).length;
}

/** units are the words for what is counted. */
export function units(d: Drift): { one: string; many: string; asset: string; assets: string } {
  return d.unit === 'frames' ? { one: 'frame', many: 'frames', asset: 'camera', assets: 'cameras' } : { one: 'window', many: 'windows', asset: 'asset', assets: 'assets' };
}

/** unwatched is the canary that has no round yet, if there is one. */
export function unwatched(d: Drift): string | undefined {
  return d.versions.find((v) => v.alias === 'canary' && v.rounds === 0)?.version;
}

/** budget is how many alarms there were for each 1,000 windows, null before the first. */
export function budget(d: Drift): number | null {
  return d.windows > 0 ? (1000 * d.began) / d.windows : null;
}

// The live feed's messages; console/protocol.go and console/frame.go describe them.

import type { Alert } from './alerts.ts';
import type { Loop } from './loop.ts';

export interface Pipeline {
  name: string;
  topic: string;
  task: string;
  signals: string[];
  unit: string;
  grid_seconds: number;
  length: number;
  horizon?: number;
  /** What scores in the place of a model, and how many assets it says nothing of yet. */
  detector?: string;
  learning?: number;
  model: string;
  trained?: string;
  metrics?: Record<string, number>;
}

export interface Component {
  name: string;
  ready: boolean;
  detail?: string;
}

/** An accelerator; a number that it does not tell is -1. */
export interface Device {
  index: number;
  name: string;
  utilization: number;
  memory_used: number;
  memory_total: number;
  power: number;
  temperature: number;
  throttled: string[];
  fault?: string;
}

/** How records get to a central cluster. */
export interface Uplink {
  site: string;
  brokers: string;
  state: 'starting' | 'up' | 'away' | 'refused';
  since: string;
  error?: string;
  waiting: number;
  lost: number;
  records: number;
}

export interface Status {
  version: string;
  started: string;
  demo?: boolean;
  epoch: string;
  addresses: Record<string, string>;
  components: Component[];
  pipelines: Pipeline[];
  devices?: Device[];
  uplink?: Uplink;
  risk_watch: number;
  risk_critical: number;
  dead_letters?: Record<string, Record<string, number>>;
}

export interface Sample {
  t: number;
  p: Record<string, (number | null)[]>;
  a: (number | null)[];
}

export interface Run {
  run: string;
  pipeline: string;
  state: 'waiting' | 'started' | 'epoch' | 'finished' | 'failed';
  started: number;
  updated: number;
  epoch: number;
  epochs: number;
  rows: number;
  rate: number | null;
  elapsed: number | null;
  version?: string;
  detail?: string;
  /** The worker that trains; none where the appliance does. */
  worker?: string;
  cpu_seconds: number | null;
  /** null where nothing measures. */
  gpu_seconds: number | null;
  joules: number | null;
  energy?: string;
  losses: Epoch[];
}

export interface Epoch {
  epoch: number;
  loss: number | null;
  val_loss: number | null;
  rate: number | null;
}

/** A row of the fleet: the first eleven are always there, the trend only in a snapshot. */
export type FleetRow = [
  asset: string,
  risk: number | null,
  value: number | null,
  start: number | null,
  end: number | null,
  version: string | null,
  latency: number | null,
  scoredAt: number | null,
  partition: number | null,
  offset: number | null,
  seen: number,
  trend?: number[],
];

export type Message =
  | { type: 'hello'; server: string; epoch: string; time: number; max_hz: number }
  | ({ type: 'snapshot' | 'delta'; id: number; seq: number } & Body)
  | { type: 'gap'; id: number; seq: number; count: number; from?: number; to?: number }
  | { type: 'error'; id: number; code: string; message: string };

/** What the topics put into snapshots and deltas. */
export interface Body {
  fields?: { pipeline: string[]; parts: string[] };
  samples?: Sample[];
  status?: Status;
  most?: number;
  rows?: FleetRow[];
  runs?: Run[];
  open?: number;
  alerts?: Alert[];
  turn?: number;
  loops?: Loop[];
  signals?: string[];
  from?: number;
  step?: number;
  whole?: boolean;
}

export const FRAME_ROWS = 1;
export const FRAME_SCORES = 2;
const HEAD = 16;

/** Points of one asset in order of time; columns[i][j] belongs to times[j]. */
export interface Frame {
  kind: number;
  snapshot: boolean;
  id: number;
  seq: number;
  times: Float64Array;
  columns: Float32Array[];
}

/** parseFrame reads a binary message in place: the columns are views of the buffer. */
export function parseFrame(buffer: ArrayBuffer): Frame {
  if (buffer.byteLength < HEAD) throw new Error(`a frame of ${buffer.byteLength} bytes`);
  const view = new DataView(buffer);
  const count = view.getUint16(2, true);
  const points = view.getUint32(12, true);
  if (buffer.byteLength !== HEAD + 8 * points + 4 * points * count) {
    throw new Error(`a frame of ${buffer.byteLength} bytes for ${count} columns of ${points} points`);
  }
  const columns: Float32Array[] = [];
  for (let c = 0; c < count; c++) columns.push(new Float32Array(buffer, HEAD + 8 * points + 4 * points * c, points));
  return {
    kind: view.getUint8(0),
    snapshot: (view.getUint8(1) & 1) !== 0,
    id: view.getUint32(4, true),
    seq: view.getUint32(8, true),
    times: new Float64Array(buffer, HEAD, points),
    columns,
  };
}

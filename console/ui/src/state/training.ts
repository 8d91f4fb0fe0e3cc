// Training runs, the newest first.

import { signal } from '@preact/signals';
import type { Body, Run } from '../lib/protocol.ts';
import { now, subscribe } from './feed.ts';

export const runs = signal<Run[]>([]);
export const runsLoaded = signal(false);

export function startTraining(): void {
  subscribe(() => ({ topic: 'training' }), 4, {
    snapshot(body) {
      runs.value = body.runs ?? [];
      runsLoaded.value = true;
    },
    delta: merge,
  });
}

function merge(body: Body): void {
  const list = new Map(runs.value.map((r) => [r.run, r]));
  for (const fresh of body.runs ?? []) {
    const old = list.get(fresh.run);
    const epochs = new Map((fresh.state === 'waiting' ? [] : old?.losses ?? []).map((e) => [e.epoch, e]));
    for (const e of fresh.losses) epochs.set(e.epoch, e);
    list.set(fresh.run, { ...fresh, losses: [...epochs.values()].sort((a, b) => a.epoch - b.epoch) });
  }
  runs.value = [...list.values()].sort((a, b) => b.started - a.started);
}

export type RunState = 'running' | 'waiting' | 'finished' | 'failed' | 'stopped';

// A run that has said nothing for this long ended with its process.
const SILENT = 180_000;

export function runState(r: Run): RunState {
  if (r.state === 'finished' || r.state === 'failed') return r.state;
  if (r.state === 'waiting') return 'waiting'; // for a worker, as long as the appliance waits; it says when it gives up
  return now() - r.updated > SILENT ? 'stopped' : 'running';
}

/** running returns the pipeline's run that is going on. */
export function running(pipeline: string): Run | undefined {
  return runs.value.find((r) => r.pipeline === pipeline && runState(r) === 'running');
}

/** progress returns the share that is done, 0 to 1. */
export function progress(r: Run): number {
  return r.epochs > 0 ? Math.min(1, r.epoch / r.epochs) : 0;
}

/** remaining returns the seconds that a run will take at its pace so far. */
export function remaining(r: Run): number | null {
  if (!r.elapsed || r.epoch < 1) return null;
  return (r.elapsed / r.epoch) * Math.max(0, r.epochs - r.epoch);
}

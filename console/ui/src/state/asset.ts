// One asset's points: what the store remembers, then what the line tells, kept in order without holes.

import { signal } from '@preact/signals';
import { FRAME_ROWS, type Body, type Frame, type Pipeline } from '../lib/protocol.ts';
import { Series } from '../lib/series.ts';
import { subscribe } from './feed.ts';

// How long the store may take to hold what the line has told.
const SETTLE = 4000;

export class AssetFeed {
  readonly rows: Series;
  readonly scores = new Series(2);
  /** changes counts arrivals; loaded tells that the history is there; fault is why it is not. */
  readonly changes = signal(0);
  readonly loaded = signal(false);
  readonly fault = signal<string | null>(null);
  /** arrived counts the points that the line has told, for "+N since pause". */
  arrived = 0;
  /** missed counts points that were left out and are read from the store instead. */
  readonly missed = signal(0);
  private held = 0;
  private stop: () => void;
  private timers = new Set<ReturnType<typeof setTimeout>>();

  constructor(
    readonly pipeline: Pipeline,
    readonly asset: string,
    /** how far back the history goes, milliseconds before the newest reading; 0 is all. */
    readonly reach: number,
  ) {
    this.rows = new Series(pipeline.signals.length);
    this.stop = subscribe(
      () => ({ topic: 'asset', params: { pipeline: pipeline.name, asset }, from: this.held ? 0 : -reach, since: this.held }),
      10,
      {
        snapshot: (body: Body) => {
          this.fault.value = null;
          if (body.whole === false) this.later(() => void this.refill(body.from ?? 0));
        },
        frame: (f) => this.take(f),
        gap: (count, from) => {
          this.missed.value += count;
          this.later(() => void this.refill(from ?? 0));
        },
        error: (_, message) => {
          this.fault.value = message;
          this.loaded.value = true;
        },
      },
    );
  }

  close(): void {
    this.stop();
    for (const t of this.timers) clearTimeout(t);
  }

  private take(f: Frame): void {
    const fresh = (f.kind === FRAME_ROWS ? this.rows : this.scores).add(f.times, f.columns);
    if (f.kind === FRAME_ROWS && !f.snapshot) this.arrived += fresh;
    if (f.kind === FRAME_ROWS) this.held = Math.max(this.held, this.rows.last || 0);
    // The scores' frame ends a snapshot.
    if (f.kind !== FRAME_ROWS && f.snapshot) this.loaded.value = true;
    this.changes.value++;
  }

  private later(f: () => void): void {
    const t = setTimeout(() => {
      this.timers.delete(t);
      f();
    }, SETTLE);
    this.timers.add(t);
  }

  /** refill reads from the store what the feed has left out. */
  private async refill(from: number): Promise<void> {
    const path = `/api/v1/assets/${encodeURIComponent(this.pipeline.name)}/${encodeURIComponent(this.asset)}/series?from=${Math.floor(from)}`;
    const answer = await fetch(path);
    if (!answer.ok) return;
    const s = (await answer.json()) as { step: number; times: number[]; values: (number | null)[][]; scores: { times: number[]; value: (number | null)[]; risk: (number | null)[] } };
    // Means over steps would stand beside the points that are there.
    if (s.step !== 0) return;
    const column = (list: (number | null)[]) => Float32Array.from(list, (v) => v ?? NaN);
    this.rows.add(Float64Array.from(s.times), s.values.map(column));
    this.scores.add(Float64Array.from(s.scores.times), [column(s.scores.value), column(s.scores.risk)]);
    this.changes.value++;
  }
}

// One pipeline's assets as they stand. The page sorts and filters; this only keeps.

import { signal } from '@preact/signals';
import type { FleetRow } from '../lib/protocol.ts';
import { subscribe } from './feed.ts';

export interface Asset {
  name: string;
  risk: number | null;
  value: number | null;
  end: number | null;
  version: string | null;
  latency: number | null;
  scoredAt: number | null;
  partition: number | null;
  offset: number | null;
  seen: number;
  trend: number[];
}

const TREND = 32;

export class Fleet {
  readonly assets = new Map<string, Asset>();
  readonly changes = signal(0);
  readonly loaded = signal(false);
  private most = Infinity;
  private stop: () => void;

  constructor(
    readonly pipeline: string,
    hz = 4,
  ) {
    this.stop = subscribe(() => ({ topic: 'fleet', params: { pipeline } }), hz, {
      snapshot: (body) => {
        this.assets.clear();
        this.most = body.most ?? Infinity;
        // The newest come first, and the order of insertion is what makes room.
        for (const row of (body.rows ?? []).toReversed()) this.take(row);
        this.loaded.value = true;
        this.changes.value++;
      },
      delta: (body) => {
        for (const row of (body.rows ?? []).toReversed()) this.take(row);
        this.changes.value++;
      },
    });
  }

  close(): void {
    this.stop();
  }

  private take(row: FleetRow): void {
    const [name, risk, value, , end, version, latency, scoredAt, partition, offset, seen, trend] = row;
    const old = this.assets.get(name);
    let course = trend ?? old?.trend ?? [];
    if (!trend && risk !== null && end !== old?.end) course = [...course.slice(1 - TREND), risk];
    // Deleted first, so that the order of insertion stays the order of change.
    this.assets.delete(name);
    this.assets.set(name, { name, risk, value, end, version, latency, scoredAt, partition, offset, seen, trend: course });
    if (this.assets.size > this.most) this.assets.delete(this.assets.keys().next().value!);
  }
}

// Alerts as they are now: the open ones, and the last that were resolved.

import { computed, signal } from '@preact/signals';
import { looked, type Alert } from '../lib/alerts.ts';
import type { Body } from '../lib/protocol.ts';
import { subscribe } from './feed.ts';

export const alerts = signal<Map<string, Alert>>(new Map());
export const alertsLoaded = signal(false);

/** waiting counts open alerts that nobody looks after, worst how bad the worst of them is. */
export const waiting = computed(() => [...alerts.value.values()].filter((a) => a.state === 'firing' && !looked(a)));

export function startAlerts(): void {
  subscribe(() => ({ topic: 'alerts' }), 2, {
    snapshot(body) {
      alerts.value = new Map((body.alerts ?? []).map((a) => [a.id, a]));
      alertsLoaded.value = true;
    },
    delta: (body: Body) => keep(body.alerts ?? []),
  });
}

/** keep takes in alerts that have changed; an older state does not undo a newer one. */
export function keep(list: Alert[]): void {
  const all = new Map(alerts.value);
  for (const a of list) {
    const old = all.get(a.id);
    if (!old || Date.parse(a.changed) >= Date.parse(old.changed)) all.set(a.id, a);
  }
  alerts.value = all;
}

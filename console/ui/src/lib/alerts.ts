// Alerts: what the feed and the API tell of them, in the order in which a person takes them. All but tell is pure.

export interface Said {
  who: string;
  comment?: string;
  at: string;
  until?: string;
}

export interface Told {
  seq: number;
  state: 'pending' | 'delivered' | 'dead';
  firing: boolean;
  at: string;
  tries: number;
  error?: string;
}

export interface Alert {
  id: string;
  pipeline?: string;
  kind: string;
  severity: 'info' | 'warning' | 'critical';
  title: string;
  detail?: string;
  asset?: string;
  labels?: Record<string, string>;
  evidence?: string;
  since: string;
  state: 'firing' | 'resolved';
  first: string;
  changed: string;
  ended?: string;
  resolved_by?: string;
  fired: number;
  flapping?: boolean;
  ack?: Said;
  snooze?: Said;
  silenced?: string;
  seq: number;
  told?: Record<string, Told>;
}

export interface Try {
  time: string;
  receiver: string;
  group: string;
  notice: string;
  alerts: number;
  try: number;
  state: 'pending' | 'delivered' | 'dead';
  latency_ms: number;
  age_ms: number;
  error?: string;
}

export type Show = 'open' | 'mine' | 'resolved' | 'dead';

const ranks: Record<string, number> = { critical: 0, warning: 1, info: 2 };

/** looked reports whether somebody looks after an alert, or nobody wants to hear of it now. */
export function looked(a: Alert): boolean {
  return !!(a.ack || a.snooze || a.silenced);
}

export function isDead(a: Alert): boolean {
  return Object.values(a.told ?? {}).some((t) => t.state === 'dead');
}

/** chosen returns the alerts that a view shows: open ones that nobody looks after, those that somebody does, those that are over, and those that a receiver has given up. */
export function chosen(list: Iterable<Alert>, show: Show): Alert[] {
  return [...list].filter((a) => {
    switch (show) {
      case 'open':
        return a.state === 'firing' && !looked(a);
      case 'mine':
        return a.state === 'firing' && looked(a);
      case 'resolved':
        return a.state === 'resolved';
    }
    return isDead(a);
  });
}

export interface Group {
  name: string;
  worst: string;
  alerts: Alert[];
}

/** grouped puts alerts of one pipeline and kind together, the worst group and in it the worst and then the newest alert first. */
export function grouped(list: Alert[]): Group[] {
  const groups = new Map<string, Alert[]>();
  for (const a of list) {
    const name = [a.pipeline || 'the appliance', a.kind].join(' · ');
    const g = groups.get(name);
    if (g) g.push(a);
    else groups.set(name, [a]);
  }
  const order = (a: Alert, b: Alert) => (ranks[a.severity] ?? 3) - (ranks[b.severity] ?? 3) || Date.parse(b.first) - Date.parse(a.first) || (a.id < b.id ? -1 : 1);
  return [...groups]
    .map(([name, alerts]) => {
      alerts.sort(order);
      return { name, worst: alerts[0]!.severity, alerts };
    })
    .sort((x, y) => order(x.alerts[0]!, y.alerts[0]!));
}

export function tone(severity: string): string {
  return severity === 'critical' ? 'tone-critical' : severity === 'warning' ? 'tone-watch' : 'tone-accent';
}

/** evidence is where what caused it is shown, as an address of this page. */
export function evidence(a: Alert): string | null {
  if (!a.evidence) return null;
  return /^https?:/.test(a.evidence) ? a.evidence : a.evidence.replace(/^\/?#?/, '#');
}

export type Act = 'ack' | 'unack' | 'snooze' | 'resolve' | 'resend';

/** tell does something about an alert; its promise fails with the appliance's own words. */
export async function tell(id: string, act: Act, body: { who: string; comment?: string; seconds?: number }): Promise<Alert> {
  const r = await fetch(`/api/v1/alerts/${encodeURIComponent(id)}/${act}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  const answer = await r.json().catch(() => ({}));
  if (!r.ok) throw new Error(answer.error ?? `${r.status} ${r.statusText}`);
  return answer;
}

// Telling labels, and taking them back.

export interface LabelAsk {
  pipeline: string;
  asset: string;
  time: string;
  until?: string;
  label: string;
  box?: number[];
  weight?: number;
  golden?: boolean;
  withdrawn?: boolean;
  note?: string;
}

/** me is who labels here: a name that the browser keeps. */
export function me(): string {
  try {
    const kept = localStorage.getItem('andon.who');
    if (kept) return kept;
    const made = `page-${Math.random().toString(36).slice(2, 8)}`;
    localStorage.setItem('andon.who', made);
    return made;
  } catch {
    return 'page';
  }
}

/** missed is what a person says of something that the model should have seen. */
export function missed(l: Omit<LabelAsk, 'label'>): LabelAsk {
  return { ...l, label: 'missed', golden: true, weight: 5 };
}

/** tell sends labels and returns where they are in the log; an error carries the appliance's words. */
export async function tell(labels: LabelAsk[]): Promise<string[]> {
  const who = me();
  const res = await fetch('/api/v1/labels', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ labels: labels.map((l) => ({ who, ...l })) }),
  });
  const said = (await res.json().catch(() => ({}))) as { at?: string[]; error?: string };
  if (!res.ok) throw new Error(said.error ?? `The label could not be told (${res.status}).`);
  return said.at ?? [];
}

/** choices are the words that keys 1 to 9 stand for, by task. */
export function choices(task: string): string[] {
  if (task === 'remaining-life') return ['failure', 'missed', 'normal'];
  if (task === 'classification' || task === 'detection') return ['clear', 'missed'];
  return ['normal', 'anomaly', 'missed'];
}

/** course makes the path of one line in a box of 100 by 100, from the day and the number of each point; null where there is none. */
export function course(points: { day: number; y: number | null }[], from: number, to: number, high: number): string {
  let path = '';
  let pen = 'M';
  for (const p of points) {
    if (p.y === null) {
      pen = 'M';
      continue;
    }
    const x = to > from ? (100 * (p.day - from)) / (to - from) : 50;
    path += `${pen}${x.toFixed(2)} ${(100 - (100 * p.y) / high).toFixed(2)}`;
    pen = 'L';
  }
  return path;
}

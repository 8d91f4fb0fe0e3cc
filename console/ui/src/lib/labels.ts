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

/** frameWords are the words for a frame: what the model knows, that there is nothing, and that something was missed. */
export function frameWords(labels: string[]): string[] {
  const normal = labels.some((l) => l === 'clear' || l === 'normal');
  return [...labels.slice(0, normal ? 8 : 7), ...(normal ? [] : ['clear']), 'missed'];
}

/** Waiting is a window or frame that waits for a label. */
export interface Waiting {
  why: 'uncertain' | 'fired' | 'missed' | 'unseen';
  asset: string;
  start: string;
  end: string;
  risk: number;
  value: number;
  version?: string;
  class?: string;
  fired?: string[];
  captured?: string;
  evidence?: string;
}

/** labelsOf are what a word says of what waits. Something in a frame in which the model saw nothing is what it missed: golden, heavy, and the loop hears of it. */
export function labelsOf(pipeline: string, w: Waiting, word: string): LabelAsk[] {
  const frame = w.captured !== undefined;
  const at = frame || word === 'failure' ? { time: w.end } : { time: w.start, until: w.end };
  const l: LabelAsk = { pipeline, asset: w.asset, ...at, label: word };
  if (word === 'missed') return [missed({ pipeline, asset: w.asset, ...at })];
  const blind = frame && w.why !== 'unseen' && (!w.class || w.class === 'clear' || w.class === 'normal');
  if (blind && word !== 'clear' && word !== 'normal') return [{ ...l, golden: true, weight: 5 }, missed({ pipeline, asset: w.asset, ...at })];
  return [l];
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

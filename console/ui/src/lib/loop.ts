// How models come to the fleet, as the API tells of it.

export interface Gain {
  alpha: number;
  numbers: number;
  assets: number;
  windows: number;
  mean: number;
  low: number;
  high: number;
  /** Bounds of the mean so far, also where the gain goes up and down. */
  running_low?: number;
  running_high?: number;
  champion: number;
  challenger: number;
  /** numbers, mean, low, high */
  points?: [number, number, number, number][];
}

export interface Finding {
  slice: string;
  windows: number;
  assets: number;
  champion: number;
  challenger: number;
  gain: number;
  low: number | null;
  high: number | null;
  worse: number | null;
  better: number | null;
  /** Of classes: windows that just the one has right, and McNemar's P value by blocks. */
  only_champion?: number;
  only_challenger?: number;
  mcnemar?: number | null;
}

export interface Candidate {
  version: string;
  passed: boolean;
  reason?: string;
  cost?: number;
  overall?: Finding;
  golden?: number;
  lost?: string[];
}

export interface Campaign {
  id: string;
  stage: string;
  trigger: string;
  why: string;
  by?: string;
  champion?: string;
  challenger?: string;
  /** Unix nanoseconds */
  began: number;
  entered: number;
  asking?: string;
  gate?: { reason: string; cost?: number; findings?: Finding[]; golden?: number; lost?: string[] };
  candidates?: Candidate[];
  beside?: { windows: number; assets: number; slower: number | null; distance: number | null };
  paired?: Gain;
  watched?: Gain;
}

export interface Loop {
  pipeline: string;
  champion?: string;
  verdict: string;
  reason: string;
  approval: string;
  alarms: string[];
  campaign: Campaign | null;
}

export interface Decision {
  time: string;
  pipeline: string;
  campaign?: string;
  stage: string;
  verdict: string;
  reason: string;
  champion?: string;
  challenger?: string;
  who: string;
}

export interface Version {
  pipeline: string;
  version: string;
  network: string;
  added: string;
  aliases: string[];
  who?: string;
  why?: string;
  bytes: number;
  metrics?: Record<string, number>;
  lineage: { trained: string; windows?: number; assets?: number; cpu_seconds?: number; digest?: string; run?: string };
}

/** stages are those of a campaign, in their order; a rollback is an end of the watch. */
export const stages = ['train', 'gate', 'shadow', 'canary', 'promote', 'watch'] as const;

/** reached tells how a stage is to one that a campaign is at. */
export function reached(stage: string, at: string): 'done' | 'now' | 'ahead' {
  const i = stages.indexOf(stage as (typeof stages)[number]);
  const j = stages.indexOf((at === 'trigger' ? 'train' : at === 'rollback' ? 'watch' : at) as (typeof stages)[number]);
  return i < j ? 'done' : i === j ? 'now' : 'ahead';
}

/** verdictTone is the colour of a verdict. */
export function verdictTone(d: { stage: string; verdict: string }): string {
  if (d.stage === 'rollback' || d.verdict === 'failed') return 'critical';
  return { go: 'ok', no: 'watch', ask: 'accent' }[d.verdict] ?? 'none';
}

/** told collapses waits that follow each other at the same stage: newest first, the newest of them stays. */
export function told(list: Decision[]): Decision[] {
  return list.filter((d, i) => {
    const newer = list[i - 1];
    return !(d.verdict === 'wait' && newer && newer.campaign === d.campaign && newer.stage === d.stage && newer.verdict === 'wait');
  });
}

/** number writes a loss or a gain. */
export function digits(n: number | null | undefined): string {
  return n == null ? '–' : Math.abs(n) >= 0.1 ? n.toFixed(3) : n.toPrecision(2);
}

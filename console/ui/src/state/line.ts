// How the line flows: the last minutes of samples, and the status.

import { computed, signal } from '@preact/signals';
import type { Body, Pipeline, Sample, Status } from '../lib/protocol.ts';
import { subscribe } from './feed.ts';

export const status = signal<Status | null>(null);
/** ticks counts samples. Whatever reads a sample below reads it too, and so is drawn anew with each. */
export const ticks = signal(0);
export const pipelines = computed<Pipeline[]>(() => status.value?.pipelines ?? []);

/** outdated tells that the server was replaced by another version than this page is of. */
export const outdated = signal(false);

const KEEP = 300;
let kept: Sample[] = [];
let pipelineFields: string[] = [];
let partFields: string[] = [];

export function startLine(): void {
  subscribe(() => ({ topic: 'line' }), 1, {
    snapshot(body) {
      kept = [];
      pipelineFields = body.fields?.pipeline ?? [];
      partFields = body.fields?.parts ?? [];
      take(body);
    },
    delta: take,
  });
}

function take(body: Body): void {
  if (body.status) {
    if (status.value && body.status.version !== status.value.version) outdated.value = true;
    status.value = body.status;
  }
  if (!body.samples?.length) return;
  kept.push(...body.samples);
  if (kept.length > KEEP) kept = kept.slice(-KEEP);
  ticks.value++;
}

function samples(): Sample[] {
  ticks.value;
  return kept;
}

/** latest returns a number of the newest sample: of a pipeline, summed over all ('*'), or of a part (null). */
export function latest(pipeline: string | null, field: string): number | null {
  const s = samples().at(-1);
  return s ? pick(s, pipeline, field) : null;
}

/** past returns a number's course over the kept samples. */
export function past(pipeline: string | null, field: string): (number | null)[] {
  return samples().map((s) => pick(s, pipeline, field));
}

function pick(s: Sample, pipeline: string | null, field: string): number | null {
  if (pipeline === null) return s.a[partFields.indexOf(field)] ?? null;
  const at = pipelineFields.indexOf(field);
  if (pipeline !== '*') return s.p[pipeline]?.[at] ?? null;
  let total: number | null = null;
  for (const values of Object.values(s.p)) {
    const v = values[at];
    if (v != null) total = (total ?? 0) + v;
  }
  return total;
}

/** times returns the instants of the kept samples. */
export function times(): number[] {
  return samples().map((s) => s.t);
}

/** worstPast returns the course of the largest of a number over all pipelines. */
export function worstPast(field: string): (number | null)[] {
  const at = pipelineFields.indexOf(field);
  return samples().map((s) => most(s, at));
}

/** worst returns the largest of a number over all pipelines in the newest sample. */
export function worst(field: string): number | null {
  const s = samples().at(-1);
  return s ? most(s, pipelineFields.indexOf(field)) : null;
}

function most(s: Sample, at: number): number | null {
  let found: number | null = null;
  for (const values of Object.values(s.p)) {
    const v = values[at];
    if (v != null && (found === null || v > found)) found = v;
  }
  return found;
}

// Dead letters: what the API tells of them, and their bytes for people. All but ask is pure.

export interface Letter {
  letter: string;
  topic: string;
  partition: number;
  offset: number;
  pipeline: string;
  reason: string;
  detail: string;
  time: string;
  stored: string;
  key_size: number;
  value_size: number;
  key_null?: boolean;
  value_null?: boolean;
  origin?: string;
  sent: number;
  in_doubt: number;
  sent_to?: string;
  sent_by?: string;
  last_sent?: string;
  key_text?: string;
  value_text?: string;
  key?: string;
  value?: string;
  headers?: { key: string; value: string | null }[];
}

export interface ReasonCount {
  pipeline: string;
  reason: string;
  letters: number;
  sent: number;
  in_doubt: number;
  last: string;
  last_detail: string;
}

export interface Letters {
  summary: ReasonCount[];
  letters: Letter[];
  truncated?: boolean;
}

/** Choice says which letters are meant: by position, or by what is not empty, or all. */
export interface Choice {
  letters?: string[];
  pipeline?: string;
  reason?: string;
  all?: boolean;
}

export interface Replayed {
  from: string;
  to: string;
  state: string;
  detail?: string;
}

export interface ReplayAnswer {
  chosen: number;
  sent_before: number;
  in_doubt_before: number;
  letters: Replayed[];
  next?: string;
}

export const reasonNames: Record<string, string> = {
  malformed: 'malformed',
  late: 'too late',
  future: 'from the future',
  ancient: 'too old',
  refused: 'refused by ClickHouse',
};

/** bytesOf reads base64; nothing is no bytes. */
export function bytesOf(base64: string | null | undefined): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64 ?? ''), (c) => c.charCodeAt(0));
}

/** textOf returns bytes as text, null where they are none that can be read. */
export function textOf(bytes: Uint8Array): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

const two = (n: number) => n.toString(16).padStart(2, '0');

/** hexOf writes bytes as lines of sixteen: where, the bytes, and what of them is text. */
export function hexOf(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map(two).join(' ').padEnd(47);
    lines.push(`${at.toString(16).padStart(8, '0')}  ${hex}  ${row.map((b) => (b > 31 && b < 127 ? String.fromCharCode(b) : '.')).join('')}`);
  }
  return lines.join('\n');
}

/** oneLine writes bytes as text where they are, else as hexadecimal digits. */
export function oneLine(bytes: Uint8Array): string {
  return textOf(bytes) ?? `0x${[...bytes].map(two).join('')}`;
}

/** place reads topic/partition@offset, null where it is none. */
export function place(position: string | undefined): [topic: string, partition: string, offset: string] | null {
  const m = /^([^/]+)\/(\d+)@(\d+)/.exec(position ?? '');
  return m ? [m[1]!, m[2]!, m[3]!] : null;
}

/** ask puts a request to the appliance; what it refuses is an error in its own words. */
export async function ask<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = body === undefined ? {} : { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  if (signal) init.signal = signal;
  const r = await fetch(path, init);
  if (r.ok) return (await r.json()) as T; // given up half-way, this throws
  const refusal = (await r.json().catch(() => ({}))) as { error?: string };
  throw new Error(refusal.error ?? `${r.status} ${r.statusText}`);
}

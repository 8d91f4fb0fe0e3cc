// One websocket for the whole page. Subscriptions outlive it: after a loss each is asked for again, with what it already holds.

import { signal } from '@preact/signals';
import { backoff } from '../lib/backoff.ts';
import { parseFrame, type Body, type Frame, type Message } from '../lib/protocol.ts';

export type FeedState = { kind: 'connecting' } | { kind: 'live' } | { kind: 'lost'; retryAt: number; tries: number };

export const feedState = signal<FeedState>({ kind: 'connecting' });

/** serverAhead is how many milliseconds the server's clock is ahead of ours: ages are told by the server's. */
export const serverAhead = signal(0);

const clock = signal(0);
setInterval(() => clock.value++, 1000);

/** now returns the time by the server's clock; what is drawn with it is drawn anew every second. */
export const now = (): number => (clock.value, Date.now() + serverAhead.peek());

export interface Ask {
  topic: 'line' | 'fleet' | 'asset' | 'training' | 'alerts' | 'models';
  params?: Record<string, string>;
  from?: number;
  since?: number;
}

export interface Handlers {
  snapshot?(body: Body): void;
  delta?(body: Body): void;
  frame?(frame: Frame): void;
  gap?(count: number, from?: number, to?: number): void;
  error?(code: string, message: string): void;
}

interface Subscription {
  id: number;
  ask: () => Ask;
  maxHz: number;
  handlers: Handlers;
  next: number;
}

// The line tells something every second; silence for this long means that the connection is dead, whatever the browser thinks.
const SILENCE = 12_000;
// What a page that no one looks at asks for.
const HIDDEN_HZ = 0.2;

const subscriptions = new Map<number, Subscription>();
let socket: WebSocket | null = null;
let lastId = 0;
let tries = 0;
let retry: ReturnType<typeof setTimeout> | undefined;
let heard = 0;

/** subscribe follows a topic until the returned function is called. `ask` is evaluated at each (re)connection. */
export function subscribe(ask: () => Ask, maxHz: number, handlers: Handlers): () => void {
  const s: Subscription = { id: ++lastId, ask, maxHz, handlers, next: 0 };
  subscriptions.set(s.id, s);
  request(s);
  return () => {
    subscriptions.delete(s.id);
    send({ type: 'unsub', id: s.id });
  };
}

function request(s: Subscription): void {
  s.next = 0;
  // Before the server's hello, and after a loss, all subscriptions are asked for when it comes.
  if (feedState.peek().kind !== 'live') return;
  send({ type: 'sub', id: s.id, ...s.ask(), max_hz: hz(s) });
}

const hz = (s: Subscription) => (document.hidden ? HIDDEN_HZ : s.maxHz);

function send(message: object): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

/** connect opens the feed and keeps it open. */
export function connect(): void {
  clearTimeout(retry);
  const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`;
  const ws = new WebSocket(url, 'andon.v1');
  ws.binaryType = 'arraybuffer';
  socket = ws;
  heard = Date.now();
  ws.onmessage = (e: MessageEvent<string | ArrayBuffer>) => {
    heard = Date.now();
    if (ws !== socket) return;
    if (typeof e.data === 'string') receive(JSON.parse(e.data) as Message);
    else receiveFrame(parseFrame(e.data));
  };
  ws.onclose = () => {
    if (ws === socket) lose();
  };
}

function lose(): void {
  socket = null;
  const wait = backoff(tries++);
  feedState.value = { kind: 'lost', retryAt: Date.now() + wait, tries };
  clearTimeout(retry);
  retry = setTimeout(connect, wait);
}

/** reconnect tries now instead of at the end of the wait. */
export function reconnect(): void {
  if (feedState.peek().kind === 'lost') connect();
}

function receive(m: Message): void {
  if (m.type === 'hello') {
    tries = 0;
    serverAhead.value = m.time - Date.now();
    feedState.value = { kind: 'live' };
    for (const s of subscriptions.values()) request(s);
    return;
  }
  const s = subscriptions.get(m.id);
  if (!s) return;
  if (m.type === 'error') {
    s.handlers.error?.(m.code, m.message);
    return;
  }
  if (!inOrder(s, m.seq)) return;
  if (m.type === 'snapshot') s.handlers.snapshot?.(m);
  else if (m.type === 'delta') s.handlers.delta?.(m);
  else if (m.type === 'gap') s.handlers.gap?.(m.count, m.from, m.to);
}

function receiveFrame(f: Frame): void {
  const s = subscriptions.get(f.id);
  if (s && inOrder(s, f.seq)) s.handlers.frame?.(f);
}

/** inOrder checks the subscription's sequence; where one is missing all is asked for again, since what is shown must not be wrong. */
function inOrder(s: Subscription, seq: number): boolean {
  if (seq === s.next) {
    s.next++;
    return true;
  }
  // Messages of before a renewed request may still arrive.
  if (seq === 0) {
    s.next = 1;
    return true;
  }
  if (s.next !== 0) request(s);
  return false;
}

/** setRates tells the server how often each subscription is wanted. */
function setRates(): void {
  for (const s of subscriptions.values()) send({ type: 'rate', id: s.id, max_hz: hz(s) });
}

document.addEventListener('visibilitychange', () => {
  setRates();
  if (!document.hidden) {
    heard = Math.max(heard, Date.now() - SILENCE / 2);
    reconnect();
  }
});
addEventListener('online', reconnect);
setInterval(() => {
  // A hidden page hears every five seconds, and its timers are slowed down: silence is judged only where it is looked at.
  if (!document.hidden && socket && Date.now() - heard > SILENCE) socket.close(4000, 'silence');
}, 2000);

// Dead letters: how many there are and why, the newest, one of them whole, and the way back into the line.

import { signal, useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { ago, bytes, count } from '../lib/format.ts';
import { ask, bytesOf, hexOf, oneLine, place, reasonNames, textOf, type Choice, type Letter, type Letters } from '../lib/letters.ts';
import { link } from '../lib/route.ts';
import { now } from '../state/feed.ts';
import { status } from '../state/line.ts';
import { route } from '../state/route.ts';
import { Icon } from '../parts/icons.tsx';
import { Resend } from '../parts/resend.tsx';
import { Stamp } from '../parts/stamp.tsx';

export function LettersPage() {
  const [topic, partition, offset] = route.value.parts;
  if (topic && partition && offset) return <Whole key={route.value.parts.join('/')} topic={topic} partition={partition} offset={offset} />;
  return <List />;
}

interface Answer<T> {
  path: string;
  data?: T;
  error?: string;
}

/** useAnswer asks again when the path or the turn changes, and shows what it has meanwhile. */
function useAnswer<T>(path: string, turn: unknown): Answer<T> {
  const answer = useSignal<Answer<T>>({ path });
  useEffect(() => {
    const over = new AbortController();
    ask<T>(path, undefined, over.signal).then(
      (data) => {
        if (!over.signal.aborted) answer.value = { path, data };
      },
      (e: Error) => {
        if (!over.signal.aborted) answer.value = { path, error: e.message };
      },
    );
    return () => over.abort();
  }, [path, turn]);
  return answer.value.path === path ? answer.value : { path };
}

/** sends counts replays from this page, which the numbers shown must follow. */
const sends = signal(0);

/** useTurn changes when there are more dead letters, every few seconds at most. */
function useTurn(): string {
  const turn = useSignal(0);
  const seen = useRef({ at: 0, letters: -1 });
  let letters = 0;
  for (const reasons of Object.values(status.value?.dead_letters ?? {})) for (const n of Object.values(reasons)) letters += n;
  useEffect(() => {
    const wait = seen.current.letters < 0 ? 0 : Math.max(500, seen.current.at + 3000 - Date.now());
    if (letters === seen.current.letters) return;
    const t = setTimeout(() => {
      if (seen.current.letters >= 0) turn.value++;
      seen.current = { at: Date.now(), letters };
    }, wait);
    return () => clearTimeout(t);
  }, [letters]);
  return `${turn.value}/${sends.value}`;
}

function reasonName(reason: string): string {
  return reasonNames[reason] ?? reason;
}

function List() {
  const { pipeline = '', reason = '' } = route.value.query;
  const query = new URLSearchParams({ pipeline, reason, limit: '100' });
  const turn = useTurn();
  const all = useAnswer<Letters>('/api/v1/deadletters?limit=1', turn);
  const some = useAnswer<Letters>(`/api/v1/deadletters?${query}`, turn);
  const asking = useSignal<Choice | null>(null);
  const chosen = pipeline || reason;
  const list = some.data?.letters ?? [];
  const names = pipeline && reason ? `${pipeline}, ${reasonName(reason)}` : pipeline || reasonName(reason);
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Dead letters</h1>
          <p class="sub">Records that could not be used, whole, and why. Sent again they go through the line like any other.</p>
        </div>
        {(some.data?.summary.length ?? 0) > 0 && (
          <button class="button" onClick={() => (asking.value = chosen ? { pipeline, reason } : { all: true })}>
            <Icon name="again" size={15} /> Send {chosen ? 'these' : 'all'} again …
          </button>
        )}
      </header>
      {(all.error || some.error) && <Fault message={all.error ?? some.error!} />}
      {all.data?.summary.length === 0 && <p class="empty">There are none: every record could be used.</p>}
      {(all.data?.summary.length ?? 0) > 0 && (
        <>
          <section class="panel">
            <h2 class="panel-title">By reason</h2>
            <div class="scroll-x">
              <table class="table tight letters-sum">
                <thead>
                  <tr>
                    <th>Pipeline</th>
                    <th>Reason</th>
                    <th class="num">Letters</th>
                    <th class="num">Sent again</th>
                    <th class="num">In doubt</th>
                    <th>Last</th>
                    <th>What was wrong with it</th>
                  </tr>
                </thead>
                <tbody>
                  {all.data!.summary.map((s) => {
                    const mine = s.pipeline === pipeline && s.reason === reason;
                    return (
                      <tr key={`${s.pipeline}/${s.reason}`} class={mine ? 'chosen' : ''} data-reason={s.reason}>
                        <td>{s.pipeline}</td>
                        <td>
                          <a class="strong" href={mine ? link('letters') : link('letters', [], { pipeline: s.pipeline, reason: s.reason })} aria-current={mine ? 'true' : undefined}>
                            {reasonName(s.reason)}
                          </a>
                        </td>
                        <td class="num">{count(s.letters)}</td>
                        <td class="num">{count(s.sent)}</td>
                        <td class={s.in_doubt > 0 ? 'num tone-watch toned' : 'num'}>{count(s.in_doubt)}</td>
                        <td class="num">{ago(Date.parse(s.last), now())}</td>
                        <td class="muted" title={s.last_detail}>
                          <span class="cut detail">{s.last_detail}</span>
                        </td>
                      </tr>
                    );
                  })}
                </tbody>
              </table>
            </div>
          </section>
          <section class="panel">
            <div class="letters-head">
              <h2>{some.data?.truncated ? 'The newest' : 'Letters'}</h2>
              {chosen && (
                <a class="chip tone-accent" href={link('letters')}>
                  {names}
                  <span aria-hidden="true" class="chip-end">×</span>
                  <span class="hidden">: show all</span>
                </a>
              )}
            </div>
            <div class="scroll-x">
              <table class="table tight letters-list">
                <thead>
                  <tr>
                    <th>Letter</th>
                    <th>Pipeline</th>
                    <th>Reason</th>
                    <th>What was wrong</th>
                    <th>Key</th>
                    <th class="num">Size</th>
                    <th>Set aside</th>
                    <th>Sent again</th>
                  </tr>
                </thead>
                <tbody>
                  {list.map((l) => (
                    <tr key={`${l.pipeline}/${l.letter}`} data-letter={l.letter}>
                      <td>
                        <PlaceLink position={l.letter} />
                        {l.origin && (
                          <div class="faint small">
                            was <PlaceLink position={l.origin} />
                          </div>
                        )}
                      </td>
                      <td>{l.pipeline}</td>
                      <td>{reasonName(l.reason)}</td>
                      <td class="muted" title={l.detail}>
                        <span class="cut detail">{l.detail}</span>
                      </td>
                      <td>{l.key_null ? <i class="faint">none</i> : /[\u0000-\u001f\ufffd]/.test(l.key_text ?? '') ? <i class="faint">binary</i> : <span class="cut">{l.key_text}</span>}</td>
                      <td class="num">{bytes(l.key_size + l.value_size)}</td>
                      <td>
                        <Stamp ms={Date.parse(l.stored)} precise />
                      </td>
                      <td>
                        <Sent letter={l} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            {some.data?.truncated && <p class="list-foot faint small">The newest {count(list.length)}; <code>andon dlq list</code> shows more.</p>}
          </section>
        </>
      )}
      {asking.value && <Resend choice={asking.value} what={chosen ? `The dead letters chosen, ${names}, go back` : 'All dead letters go back'} close={() => ((asking.value = null), sends.value++)} />}
    </div>
  );
}

function Fault({ message }: { message: string }) {
  return (
    <div class="banner bad" role="alert">
      <strong>The dead letters cannot be read.</strong> <span>{message}</span>
    </div>
  );
}

/** PlaceLink leads to the record's letter, if it is one. */
function PlaceLink({ position }: { position: string }) {
  const at = place(position);
  return at ? (
    <a href={link('letters', at)}>
      <code>{`${at[0]}/${at[1]}@${at[2]}`}</code>
    </a>
  ) : (
    <code>{position}</code>
  );
}

function Sent({ letter: l }: { letter: Letter }) {
  if (l.sent > 0) {
    return (
      <span class="chip tone-ok" title={`${l.sent_to}, by ${l.sent_by}`}>
        {l.sent === 1 ? 'sent' : `sent ${l.sent} times`}
      </span>
    );
  }
  return l.in_doubt > 0 ? <span class="chip tone-watch">in doubt</span> : <span class="faint">no</span>;
}

/** SHOWN is how many bytes of a value are drawn; the rest is for the download. */
const SHOWN = 64 << 10;

function Whole({ topic, partition, offset }: { topic: string; partition: string; offset: string }) {
  const letters = useAnswer<Letter[]>(`/api/v1/deadletters/${[topic, partition, offset].map(encodeURIComponent).join('/')}`, useTurn());
  const asking = useSignal(false);
  const position = `${topic}/${partition}@${offset}`;
  const l = letters.data?.[0];
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <p class="crumbs">
            <a href={link('letters')}>
              <Icon name="back" size={14} /> Dead letters
            </a>
          </p>
          <h1 class="letter-title">{position}</h1>
        </div>
        {l && (
          <button class="button primary" onClick={() => (asking.value = true)}>
            <Icon name="again" size={15} /> Send again …
          </button>
        )}
      </header>
      {letters.error && <Fault message={letters.error} />}
      {letters.data?.map((x) => (
        <section class="panel letter-why" key={x.pipeline}>
          <p>
            <span class="chip tone-critical">{reasonName(x.reason)}</span> <strong>{x.pipeline}</strong> could not use it: {x.detail}
          </p>
        </section>
      ))}
      {l && <Record letter={l} />}
      {asking.value && <Resend choice={{ letters: [position] }} what={`${position} goes back`} close={() => ((asking.value = false), sends.value++)} />}
    </div>
  );
}

function Record({ letter: l }: { letter: Letter }) {
  const value = bytesOf(l.value);
  const text = textOf(value.subarray(0, SHOWN)) ?? (value.length > SHOWN ? textOf(value.subarray(0, SHOWN - 3)) : null);
  const download = () => {
    const url = URL.createObjectURL(new Blob([value], { type: 'application/octet-stream' }));
    const a = document.createElement('a');
    a.href = url;
    a.download = `${l.topic}-${l.partition}-${l.offset}`;
    a.click();
    URL.revokeObjectURL(url);
  };
  return (
    <div class="letter">
      <section class="panel letter-facts" aria-label="The record">
        <dl class="run-facts">
          <Fact name="Timestamp"><Stamp ms={Date.parse(l.time)} precise /></Fact>
          <Fact name="Set aside"><Stamp ms={Date.parse(l.stored)} precise /></Fact>
          <Fact name="Key">{l.key_null ? <i class="faint">none</i> : <code class="wrap">{oneLine(bytesOf(l.key))}</code>}</Fact>
          {l.origin && <Fact name="Was"><PlaceLink position={l.origin} /></Fact>}
          <Fact name="Sent again">{l.sent > 0 || l.in_doubt > 0 ? <Sent letter={l} /> : 'no'}</Fact>
          {l.sent_to && <Fact name="Is now"><code class="wrap">{l.sent_to}</code></Fact>}
          {l.sent_by && <Fact name="Sent by">{l.sent_by}, {ago(Date.parse(l.last_sent ?? ''), now())}</Fact>}
        </dl>
        <h2 class="label">Headers</h2>
        {!l.headers?.length && <p class="muted small">It has none.</p>}
        <ul class="letter-headers">
          {l.headers?.map((h, i) => (
            <li key={i}>
              <code>{h.key}</code>
              <code class="wrap">{oneLine(bytesOf(h.value))}</code>
            </li>
          ))}
        </ul>
      </section>
      <section class="panel letter-value" aria-labelledby="value-title">
        <div class="result-head">
          <h2 id="value-title">
            Value <span class="muted num">{l.value_null ? '' : bytes(l.value_size)}</span>
          </h2>
          {value.length > 0 && (
            <button class="quiet" onClick={download}>
              <Icon name="download" size={15} /> Download
            </button>
          )}
        </div>
        {l.value_null ? (
          <p class="empty">It has no value at all: a tombstone.</p>
        ) : value.length === 0 ? (
          <p class="empty">It is empty.</p>
        ) : (
          <pre tabIndex={0} aria-labelledby="value-title" class={text === null ? 'hex' : ''}>
            {text ?? hexOf(value.subarray(0, SHOWN))}
          </pre>
        )}
        {value.length > SHOWN && <p class="list-foot faint small">The first {bytes(SHOWN)}; the download has all.</p>}
      </section>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class="num">{children}</dd>
    </div>
  );
}

// A query box on ClickHouse, read-only.

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { csv } from '../lib/csv.ts';
import { count, seconds } from '../lib/format.ts';
import { link } from '../lib/route.ts';
import { go, route } from '../state/route.ts';
import { Icon } from '../parts/icons.tsx';
import { Rows } from '../parts/rows.tsx';
import { Hyphens } from '../parts/stamp.tsx';

interface Example {
  name: string;
  about: string;
  sql: string;
}

interface Answer {
  columns: string[];
  types: string[];
  rows: unknown[][];
  truncated: boolean;
  elapsed_ms: number;
}

type Outcome = { kind: 'none' } | { kind: 'running'; since: number } | { kind: 'answer'; answer: Answer } | { kind: 'error'; message: string };

const examples = signal<Example[]>([]);
const text = signal('');
const outcome = signal<Outcome>({ kind: 'none' });
let asked: AbortController | null = null;

async function loadExamples(): Promise<void> {
  if (examples.value.length > 0) return;
  try {
    const r = await fetch('/api/v1/queries');
    if (r.ok) examples.value = (await r.json()) as Example[];
  } catch {
    // The page works without them; the connection's state is shown elsewhere.
  }
  if (!text.value && examples.value[0]) text.value = examples.value[0].sql;
}

async function run(): Promise<void> {
  const sql = text.value.trim();
  if (!sql) return;
  asked?.abort();
  const mine = (asked = new AbortController());
  outcome.value = { kind: 'running', since: Date.now() };
  // Long queries do not fit an address.
  if (sql.length < 1500) go(link('sql', [], { q: sql }), true);
  try {
    const r = await fetch('/api/v1/sql', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ sql }), signal: mine.signal });
    const body = (await r.json()) as Answer & { error?: string };
    if (mine !== asked) return;
    outcome.value = r.ok ? { kind: 'answer', answer: body } : { kind: 'error', message: body.error ?? `${r.status} ${r.statusText}` };
  } catch (e) {
    if (mine !== asked) return;
    outcome.value = mine.signal.aborted ? { kind: 'none' } : { kind: 'error', message: `The appliance does not answer: ${String(e)}` };
  }
}

function stop(): void {
  asked?.abort();
}

export function SqlPage() {
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    void loadExamples();
    const q = route.peek().query.q;
    if (q && q !== text.peek()) text.value = q;
    box.current?.focus();
  }, []);
  const busy = outcome.value.kind === 'running';
  const keys = (e: KeyboardEvent) => {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) {
      e.preventDefault();
      void run();
    } else if (e.key === 'Escape') {
      if (busy) stop();
      else box.current?.blur();
    }
  };
  const lines = Math.min(18, Math.max(7, text.value.split('\n').length + 1));
  return (
    <div class="page fill">
      <header class="page-head">
        <div>
          <h1>SQL</h1>
          <p class="sub">Asks ClickHouse, read-only. Each row of data names the topic, partition and offset that it came from.</p>
        </div>
      </header>
      <div class="sql-top">
        <div class="panel sql-box">
          <label class="hidden" for="sql">
            Query
          </label>
          <textarea id="sql" ref={box} rows={lines} spellcheck={false} autocapitalize="off" value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} onKeyDown={keys} placeholder="SELECT …" />
          <div class="sql-bar">
            <button class="button primary" onClick={() => (busy ? stop() : void run())} disabled={!text.value.trim()}>
              {busy ? 'Stop' : 'Run'}
            </button>
            <span class="faint small">
              <kbd>Ctrl</kbd> <kbd>Enter</kbd>
            </span>
          </div>
        </div>
        <nav class="examples" aria-label="Saved queries">
          <h2 class="label">Saved queries</h2>
          <ul>
            {examples.value.map((e) => (
              <li key={e.name}>
                <button
                  onClick={() => {
                    text.value = e.sql;
                    void run();
                  }}
                  aria-pressed={text.value === e.sql}
                >
                  {e.name}
                </button>
              </li>
            ))}
          </ul>
          <p class="about">{examples.value.find((e) => e.sql === text.value)?.about}</p>
        </nav>
      </div>
      <Result />
    </div>
  );
}

function Result() {
  const o = outcome.value;
  const done = useRef<HTMLSpanElement>(null);
  if (o.kind === 'none') return <p class="empty">The answer appears here.</p>;
  if (o.kind === 'running') return <p class="empty" role="status">Asking ClickHouse …</p>;
  if (o.kind === 'error') {
    const m = /^(?:.*?)(?:code: (\d+), message: )([\s\S]*)$/.exec(o.message);
    return (
      <div class="panel sql-error" role="alert">
        <h2>
          ClickHouse refused the query{m?.[1] && <span class="faint num"> code {m[1]}</span>}
        </h2>
        <pre>{m?.[2] ?? o.message}</pre>
      </div>
    );
  }
  const a = o.answer;
  const numeric = a.types.map((t) => /Int|Float|Decimal/.test(t) && !/Array|Map|Tuple/.test(t));
  const widths = columnWidths(a, numeric);
  // The last, empty column takes what is left.
  const template = `${widths.map((w) => `${w}ch`).join(' ')} 1fr`;
  const say = (what: string) => {
    if (done.current) done.current.textContent = what;
  };
  const copy = async () => {
    await navigator.clipboard.writeText(csv(a.columns, a.rows));
    say('Copied');
    setTimeout(() => say(''), 2000);
  };
  const download = () => {
    const url = URL.createObjectURL(new Blob([csv(a.columns, a.rows)], { type: 'text/csv' }));
    const l = document.createElement('a');
    l.href = url;
    l.download = 'andon.csv';
    l.click();
    URL.revokeObjectURL(url);
  };
  return (
    <section class="panel list-panel sql-result" aria-label="Answer">
      <div class="result-head">
        <p class="small" role="status">
          <b class="num">{count(a.rows.length)}</b> {a.rows.length === 1 ? 'row' : 'rows'} <span class="muted">in {seconds(a.elapsed_ms / 1000)}</span>
          {a.truncated && <span class="tone-watch"> The answer was cut here; add a LIMIT or narrow it.</span>}
        </p>
        <span class="small muted" role="status" ref={done} />
        <button class="quiet" onClick={() => void copy()}>
          <Icon name="copy" size={15} /> Copy as CSV
        </button>
        <button class="quiet" onClick={download}>
          <Icon name="download" size={15} /> Download
        </button>
      </div>
      {a.columns.length > 0 && (
        <Rows
          count={a.rows.length}
          height={32}
          columns={a.columns.length}
          label="Answer"
          head={
            <div class="sql-row head" role="row" style={{ gridTemplateColumns: template }}>
              {a.columns.map((c, i) => (
                <span key={i} role="columnheader" class={numeric[i] ? 'right' : ''} title={a.types[i]}>
                  {c}
                </span>
              ))}
            </div>
          }
          row={(i, top) => (
            <div class="sql-row" role="row" aria-rowindex={i + 2} key={i} style={{ gridTemplateColumns: template, transform: `translateY(${top}px)` }}>
              {a.rows[i]!.map((v, c) => (
                <span key={c} role="cell" class={numeric[c] ? 'num right' : /Date/.test(a.types[c] ?? '') ? 'num' : ''} title={long(v)}>
                  {shown(v, a.types[c] ?? '')}
                </span>
              ))}
            </div>
          )}
        />
      )}
    </section>
  );
}

/** shown is a cell as it is drawn. */
function shown(v: unknown, type: string): preact.ComponentChildren {
  const text = cellText(v, type);
  return typeof text === 'string' && /Date/.test(type) ? <Hyphens text={text} /> : text;
}

const long = (v: unknown) => (typeof v === 'string' && v.length > 30 ? v : undefined);

function cellText(v: unknown, type: string): preact.ComponentChildren {
  if (v === null) return <i class="faint">null</i>;
  if (typeof v === 'number') return Number.isInteger(v) ? String(v) : String(Number(v.toPrecision(7)));
  if (typeof v === 'object') return JSON.stringify(v);
  if (typeof v === 'string' && /\bDate(32)?\b(?!Time)/.test(type)) return v.slice(0, 10);
  if (typeof v === 'string') return /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(v) ? v.replace('T', ' ').replace(/(\.\d*?)0*Z$/, '$1').replace(/\.$|Z$/, '') : v;
  return String(v);
}

/** columnWidths returns how many characters each column is given: what its first rows need, within bounds. */
function columnWidths(a: Answer, numeric: boolean[]): number[] {
  return a.columns.map((name, c) => {
    let most = name.length + 2;
    for (const row of a.rows.slice(0, 200)) {
      const v = cellText(row[c], a.types[c] ?? '');
      most = Math.max(most, typeof v === 'string' ? v.length : 5);
    }
    return Math.min(numeric[c] ? 26 : 48, most) + 3;
  });
}

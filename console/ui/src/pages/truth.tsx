// Truth: what predictions came to, how late and how many labels come, who contradicts whom, and what waits for a label.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { count, duration, percent } from '../lib/format.ts';
import { evidenceURL } from '../lib/cameras.ts';
import { choices, course, frameWords, labelsOf, tell, type LabelAsk, type Waiting } from '../lib/labels.ts';
import { link } from '../lib/route.ts';
import { ask } from '../lib/letters.ts';
import { pipelines } from '../state/line.ts';
import { route } from '../state/route.ts';

interface Day {
  version: string;
  day: string;
  outcomes: number;
  positives: number;
  shadows: number;
  loss: number | null;
  brier: number | null;
  rmse: number | null;
  mae: number | null;
  accuracy: number | null;
  precision: number | null;
  recall: number | null;
  f1: number | null;
  auc: number | null;
}

interface Conflict {
  asset: string;
  time: string;
  until?: string;
  label: string;
  who: string;
  note?: string;
  told: string;
  box?: number[];
}

interface Truth {
  accuracy: Day[];
  lag: { label: string; labels: number; p50: number | null; p95: number | null }[];
  coverage: { version: string; predictions: number; settled: number; labelled: number }[];
  conflicts: Conflict[];
  queue: Waiting[];
  labels?: string[];
  truncated?: boolean;
  since?: string;
}

type Measure = 'loss' | 'brier' | 'rmse' | 'mae' | 'accuracy' | 'precision' | 'recall' | 'f1' | 'auc';

const measures: [Measure, string][] = [
  ['loss', 'Loss'],
  ['brier', 'Brier score'],
  ['rmse', 'RMSE'],
  ['mae', 'Mean error'],
  ['accuracy', 'Accuracy'],
  ['precision', 'Precision'],
  ['recall', 'Recall'],
  ['f1', 'F1'],
  ['auc', 'AUC'],
];

const colors = ['--accent', '--second', '--ok-fill', '--critical-fill', '--muted'];

export function TruthPage() {
  const name = route.value.parts[0] ?? pipelines.value[0]?.name;
  const p = pipelines.value.find((x) => x.name === name);
  if (!p) return <p class="empty">{name ? `There is no pipeline “${name}”.` : 'There is no pipeline.'}</p>;
  return <TruthOf key={p.name} pipeline={p.name} task={p.task} />;
}

function TruthOf({ pipeline, task }: { pipeline: string; task: string }) {
  const data = useSignal<Truth | null>(null);
  const fault = useSignal('');
  const turn = useSignal(0);
  useEffect(() => {
    const over = new AbortController();
    const load = () =>
      ask<Truth>(`/api/v1/truth?pipeline=${encodeURIComponent(pipeline)}`, undefined, over.signal).then(
        (t) => ((data.value = t), (fault.value = '')),
        (e: Error) => over.signal.aborted || (fault.value = e.message),
      );
    void load();
    const t = setInterval(load, 10_000);
    return () => (over.abort(), clearInterval(t));
  }, [turn.value]);
  const asked = (route.value.query.m ?? 'loss') as Measure;
  const t = data.value;
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Truth</h1>
          <p class="sub">What the models said, held against what happened, once that is settled.</p>
        </div>
        <div class="segments" role="group" aria-label="Pipeline">
          {pipelines.value.map((x) => (
            <a key={x.name} href={link('truth', [x.name], route.value.query)} aria-current={x.name === pipeline ? 'true' : undefined}>
              {x.name}
            </a>
          ))}
        </div>
      </header>
      {fault.value && (
        <div class="banner bad" role="alert">
          <strong>The truth could not be read.</strong> <span>{fault.value}</span>
        </div>
      )}
      {t && t.accuracy.length === 0 && <p class="empty">Nothing is settled yet: tell what happened below, with andon label, or through the topic of labels.</p>}
      {t && t.accuracy.length > 0 && <AccuracyPanel days={t.accuracy} pipeline={pipeline} asked={asked} truncated={t.truncated} />}
      {t && <Labels t={t} />}
      {t && t.conflicts.length > 0 && <Conflicts pipeline={pipeline} all={t.conflicts} done={() => turn.value++} />}
      {t && t.queue.length > 0 && <Queue pipeline={pipeline} words={t.queue[0]?.captured ? frameWords(t.labels ?? []) : choices(task)} all={t.queue} />}
    </div>
  );
}

function show(v: number | null): string {
  return v === null ? '–' : Math.abs(v) >= 10 ? v.toFixed(1) : v.toFixed(3);
}

function AccuracyPanel({ days, pipeline, asked, truncated }: { days: Day[]; pipeline: string; asked: Measure; truncated?: boolean }) {
  const there = measures.filter(([m]) => days.some((d) => d[m] !== null));
  const measure = there.some(([m]) => m === asked) ? asked : (there[0]?.[0] ?? 'loss');
  const versions = [...new Set(days.map((d) => d.version))];
  const times = days.map((d) => Date.parse(d.day));
  const from = Math.min(...times);
  const to = Math.max(...times);
  const high = Math.max(...days.map((d) => d[measure] ?? 0), 1e-9) * 1.05;
  const recent = versions.slice(-5);
  return (
    <section class="panel truth" aria-label="Realised accuracy">
      <h2 class="panel-title">Realised, by the day that was spoken of, of the newest 30</h2>
      <div class="segments" role="group" aria-label="Measure">
        {there.map(([m, text]) => (
          <a key={m} href={link('truth', [pipeline], { m })} aria-current={m === measure ? 'true' : undefined}>
            {text}
          </a>
        ))}
      </div>
      <svg class="truth-chart" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label={`${measure} of each version by day; the table below has the numbers`}>
        <line class="truth-rule" x1="0" x2="100" y1="100" y2="100" />
        <line class="truth-rule" x1="0" x2="100" y1="50" y2="50" />
        {recent.map((v, i) => {
          const of = days.filter((d) => d.version === v).map((d) => ({ day: Date.parse(d.day), y: d[measure] }));
          return <path key={v} class="truth-line" style={{ stroke: `var(${colors[i]})` }} d={course(of, from, to, high)} />;
        })}
      </svg>
      <p class="truth-legend small">
        <span class="faint num">
          {new Date(from).toISOString().slice(0, 10)} to {new Date(to).toISOString().slice(0, 10)}, 0 to {show(high)}
        </span>
        {recent.map((v, i) => (
          <span key={v}>
            <i style={{ background: `var(${colors[i]})` }} /> {v}
          </span>
        ))}
      </p>
      <div class="scroll-x truth-table">
        <table class="table tight">
          <thead>
            <tr>
              <th>Day</th>
              <th>Version</th>
              <th class="num">Outcomes</th>
              <th class="num">Happened</th>
              {there.map(([m, text]) => (
                <th key={m} class="num">
                  {text}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {[...days].reverse().slice(0, 200).map((d) => (
              <tr key={d.day + d.version}>
                <td>{d.day.slice(0, 10)}</td>
                <td>
                  {d.version}
                  {d.shadows > 0 && <span class="faint"> {d.shadows === d.outcomes ? 'shadow' : 'partly shadow'}</span>}
                </td>
                <td class="num">{count(d.outcomes)}</td>
                <td class="num">{count(d.positives)}</td>
                {there.map(([m]) => (
                  <td key={m} class="num">
                    {show(d[m])}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {(truncated || days.length > 200) && <p class="faint small">The newest 200 rows; the view andon.accuracy_days has all.</p>}
    </section>
  );
}

function Labels({ t }: { t: Truth }) {
  const said = t.coverage.reduce((n, c) => n + c.predictions, 0);
  const settled = t.coverage.reduce((n, c) => n + c.settled, 0);
  const labelled = t.coverage.reduce((n, c) => n + c.labelled, 0);
  return (
    <section class="panel truth" aria-label="Labels">
      <h2 class="panel-title">Labels</h2>
      <p>
        <strong class="num">{said > 0 ? percent(settled / said) : '–'}</strong> of {count(said)} predictions are settled, {count(labelled)} of them by a label.
      </p>
      {t.lag.length > 0 && (
        <table class="table tight">
          <thead>
            <tr>
              <th>Label</th>
              <th class="num">Count</th>
              <th class="num">Told after, half</th>
              <th class="num">95 %</th>
            </tr>
          </thead>
          <tbody>
            {t.lag.map((l) => (
              <tr key={l.label}>
                <td>{l.label}</td>
                <td class="num">{count(l.labels)}</td>
                <td class="num">{l.p50 === null ? '–' : duration(l.p50)}</td>
                <td class="num">{l.p95 === null ? '–' : duration(l.p95)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Conflicts({ pipeline, all, done }: { pipeline: string; all: Conflict[]; done: () => void }) {
  const fault = useSignal('');
  const withdraw = (c: Conflict) =>
    tell([{ pipeline, asset: c.asset, time: c.time, label: c.label, box: c.box, withdrawn: true }]).then(
      () => setTimeout(done, 2000),
      (e: Error) => (fault.value = e.message),
    );
  return (
    <section class="panel truth" aria-label="Contradictions">
      <h2 class="panel-title">Contradictions: neither counts until one is withdrawn</h2>
      {fault.value && <p role="alert">{fault.value}</p>}
      <table class="table tight">
        <tbody>
          {all.map((c) => (
            <tr key={c.asset + c.time + c.label + c.who}>
              <td>{c.asset}</td>
              <td>{c.time.slice(0, 19).replace('T', ' ')}</td>
              <td>
                <strong>{c.label}</strong> by {c.who || 'nobody named'} {c.note && <span class="faint">{c.note}</span>}
              </td>
              <td>
                <button class="quiet" onClick={() => void withdraw(c)}>
                  Withdraw
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

const reasons: Record<Waiting['why'], string> = {
  uncertain: 'the model was of two minds',
  fired: 'a rule acted on it',
  missed: 'the model saw nothing, the frames around it or another model did',
  unseen: 'no model has looked at it',
};

/** name tells what waits from all else. */
const name = (w: Waiting): string => `${w.asset} ${w.captured ?? w.end}`;

/** Queue shows one window or frame after the other: a number labels it and goes on, u takes the last one back. What was answered stays out, whatever order the next answer comes in. */
function Queue({ pipeline, words, all }: { pipeline: string; words: string[]; all: Waiting[] }) {
  const passed = useSignal<string[]>([]);
  const told = useRef<{ of: string; labels: LabelAsk[] }[]>([]);
  const fault = useSignal('');
  const left = all.filter((w) => !passed.value.includes(name(w)));
  const w = left[0];
  const frames = all[0]?.captured !== undefined;
  const now = useRef({ w, words });
  now.current = { w, words };
  const pass = (of: string) => (passed.value = [...passed.peek(), of].slice(-500));
  const label = (word: string) => {
    const of = now.current.w;
    if (!of) return;
    const labels = labelsOf(pipeline, of, word);
    told.current.push({ of: name(of), labels });
    pass(name(of));
    fault.value = '';
    tell(labels).catch((e: Error) => (fault.value = e.message));
  };
  const undo = () => {
    const last = told.current.pop();
    if (!last) return;
    passed.value = passed.peek().filter((n) => n !== last.of);
    tell(last.labels.map((l) => ({ ...l, withdrawn: true }))).catch((e: Error) => (fault.value = e.message));
  };
  useEffect(() => {
    const press = (e: KeyboardEvent) => {
      if (e.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) return;
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      const word = now.current.words[Number(e.key) - 1];
      if (word) label(word);
      else if (e.key === 'u') undo();
      else if (e.key === 'n' && now.current.w) pass(name(now.current.w));
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
  return (
    <section class="panel truth" aria-label="Waiting for a label">
      <h2 class="panel-title">
        Waiting for a label <span class="faint num">{left.length}</span>
      </h2>
      <p class="faint small">
        {frames ? 'Kept frames that nobody has labelled: what the model may have missed first, then what rules fired at, then what it was least sure of.' : 'The windows of which the model was least sure, one an asset.'} A
        number labels and goes on, n goes on, u takes the last one back.
      </p>
      {fault.value && <p role="alert">{fault.value}</p>}
      {w && w.captured ? (
        <figure class="truth-frame">
          <a href={link('cameras', [pipeline, w.asset], { frame: w.captured })} aria-label={`${w.asset} on the page Cameras`}>
            <img src={evidenceURL(w.evidence ?? '')} alt={`${w.asset}: ${w.class || 'nothing'}`} />
          </a>
          <figcaption>
            <strong>{w.asset}</strong> <span class="num">{w.start.slice(0, 19).replace('T', ' ')}</span>: {reasons[w.why]}
            {w.fired?.length ? ` (${w.fired.join(', ')})` : ''}. {w.version ? `Seen: ${w.class || 'nothing'}, risk ${w.risk.toFixed(3)}.` : ''} <a href={evidenceURL(w.evidence ?? '')}>Evidence</a>
          </figcaption>
        </figure>
      ) : w ? (
        <p>
          <a href={link('asset', [pipeline, w.asset])}>
            <strong>{w.asset}</strong>
          </a>{' '}
          <span class="num">
            {w.start.slice(0, 19).replace('T', ' ')} to {w.end.slice(0, 19).replace('T', ' ')}, risk {w.risk.toFixed(3)}
          </span>
        </p>
      ) : (
        <p class="empty">That was the last of them.</p>
      )}
      <div class="controls">
        {words.map((word, i) => (
          <button key={word} class="button" disabled={!w} onClick={() => label(word)}>
            <kbd>{i + 1}</kbd> {word}
          </button>
        ))}
        <button class="quiet" disabled={told.current.length === 0} onClick={undo}>
          <kbd>u</kbd> Undo
        </button>
      </div>
    </section>
  );
}

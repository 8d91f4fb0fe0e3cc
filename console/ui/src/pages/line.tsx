// The line as a picture: where records come from, what becomes of them, how fast, and what falls aside.

import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import { bytes, count, duration, percent, rate, score, seconds, task } from '../lib/format.ts';
import { reasonNames } from '../lib/letters.ts';
import { link } from '../lib/route.ts';
import type { Pipeline, Run } from '../lib/protocol.ts';
import { Fleet, type Asset } from '../state/fleet.ts';
import { latest, past, pipelines, status, ticks, times, worst, worstPast } from '../state/line.ts';
import { now } from '../state/feed.ts';
import { progress, remaining, runState, running, runs } from '../state/training.ts';
import { Devices } from '../parts/devices.tsx';
import { Uplink } from '../parts/uplink.tsx';
import { Chart, type Draw, type Line } from '../parts/chart.tsx';
import { Icon } from '../parts/icons.tsx';
import { RiskBar } from '../parts/risk.tsx';
import { Spark } from '../parts/spark.tsx';
import { Progress } from '../parts/progress.tsx';

export function LinePage() {
  const s = status.value;
  if (!s) return <div class="page" />;
  const lag = latest('*', 'lag');
  const flowing = (latest('*', 'records') ?? 0) > 0;
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Line</h1>
          <p class="sub">From Kafka to a verdict, and what is kept of it.</p>
        </div>
        <Parts />
      </header>
      <Banners />
      <section class="flow" aria-label="The flow of records">
        <Stage name="Kafka" icon="kafka" area="kafka" figure={count(lag)} unit={lag === 1 ? 'record behind' : 'records behind'} tone={(lag ?? 0) > 10_000 ? 'watch' : 'accent'}
          spark={past('*', 'lag')} sparkLabel="Records behind, the last minutes"
          facts={[['Topics', String(new Set(s.pipelines.map((p) => p.topic)).size)], ['On disk', bytes(latest(null, 'disk'))]]} />
        <Wire area="w1" on={flowing} pace={latest('*', 'records')} />
        <Stage name="Ingest" icon="ingest" area="ingest" figure={rate(latest('*', 'records'))} unit="records/s" spark={past('*', 'records')} sparkLabel="Records a second, the last minutes"
          facts={[['Volume', `${bytes(latest('*', 'bytes'))}/s`], ['In flight', bytes(latest(null, 'inflight'))]]} />
        <Wire area="w2" on={flowing} pace={latest('*', 'rows')} />
        <Stage name="Features" icon="features" area="features" figure={rate(latest('*', 'windows'))} unit="windows/s" spark={past('*', 'windows')} sparkLabel="Windows a second, the last minutes"
          facts={[['Assets', count(latest('*', 'assets'))], ['Duplicates', `${rate(latest('*', 'duplicates'))}/s`]]} />
        <Wire area="w3" on={(latest('*', 'windows') ?? 0) > 0} pace={latest('*', 'windows')} />
        <Stage name="Score" icon="score" area="score" figure={rate(latest('*', 'scores'))} unit="scores/s" spark={past('*', 'scores')} sparkLabel="Scores a second, the last minutes"
          facts={[['Latency p50', seconds(worst('p50'))], ['Latency p99', seconds(worst('p99'))]]} />
        <Wire area="w4" on={(latest(null, 'stored') ?? 0) > 0} pace={latest(null, 'stored')} />
        <Stage name="ClickHouse" icon="store" area="store" figure={rate(latest(null, 'stored'))} unit="rows/s" spark={past(null, 'stored')} sparkLabel="Rows stored a second, the last minutes"
          tone={(latest(null, 'insert_errors_total') ?? 0) > 0 ? 'watch' : 'accent'}
          facts={[['Insert p99', seconds(latest(null, 'insert_p99'))], ['Insert errors', count(latest(null, 'insert_errors_total'))]]} />

        <Drop area="d1" on={(latest('*', 'rejected') ?? 0) > 0} label="does not decode" />
        <Drop area="d2" on={(latest('*', 'late') ?? 0) > 0} label="late" />
        <Drop area="d3" on={!!s.pipelines.some((p) => running(p.name))} label="a better model" up />
        <Drop area="d4" on={!!s.pipelines.some((p) => running(p.name))} label="rows to learn from" before />

        <Host />
        <DeadLetters />
        <Trainer />
      </section>
      <section class="panel">
        <h2 class="panel-title">Pipelines</h2>
        <div class="scroll-x">
          <table class="table">
            <thead>
              <tr>
                <th>Pipeline</th>
                <th>Task</th>
                <th>Model</th>
                <th class="num">Records/s</th>
                <th class="num">Scores/s</th>
                <th>Last minutes</th>
                <th class="num">Lag</th>
                <th class="num">p50</th>
                <th class="num">p99</th>
                <th class="num">Assets</th>
                <th class="num">Scored</th>
                <th class="num">Dead letters</th>
              </tr>
            </thead>
            <tbody>
              {s.pipelines.map((p) => (
                <PipelineRow key={p.name} p={p} />
              ))}
            </tbody>
          </table>
        </div>
      </section>
      <Devices list={s.devices ?? []} />
      <Uplink view={s.uplink} />
      <section class="charts lower">
        <Course title="Scores/s" lines={s.pipelines.map((p, i) => ({ name: p.name, color: lineColors[i % lineColors.length]! }))}
          columns={() => s.pipelines.map((p) => past(p.name, 'scores'))} />
        <Course title="Latency, record to verdict" lines={[{ name: 'p50', color: '--accent' }, { name: 'p99', color: '--second' }]} format={seconds}
          columns={() => [worstPast('p50'), worstPast('p99')]} />
        <AtRisk list={s.pipelines} />
      </section>
    </div>
  );
}

const lineColors = ['--accent', '--second', '--ok', '--muted'];

/** Course draws the last minutes of a few numbers of the line. */
function Course({ title, lines, columns, format }: { title: string; lines: Line[]; columns: () => (number | null)[][]; format?: (v: number) => string }) {
  const draw = useRef<Draw | null>(null);
  const show = () => {
    const x = times();
    const end = x.at(-1) ?? 0;
    draw.current?.([x, ...columns()] as uPlot.AlignedData, Math.min(x[0] ?? 0, end - 60_000), end);
  };
  const latestShow = useRef(show);
  latestShow.current = show;
  useEffect(show, [ticks.value]);
  return (
    <figure class="panel chart-card small">
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="legend">
          {lines.map((l) => (
            <span key={l.name}>
              <i class="key" style={{ background: `var(${l.color})` }} />
              {l.name}
            </span>
          ))}
        </span>
      </figcaption>
      <Chart label={`${title}, the last minutes`} height={172} lines={lines} {...(format ? { format } : {})} fromZero
        handle={(f) => {
          draw.current = f;
          if (f) latestShow.current();
        }} />
    </figure>
  );
}

/** AtRisk names the assets of all pipelines that stand worst. */
function AtRisk({ list }: { list: Pipeline[] }) {
  const names = list.map((p) => p.name).join('/');
  const fleets = useMemo(() => list.map((p) => new Fleet(p.name, 1)), [names]);
  useEffect(() => () => fleets.forEach((f) => f.close()), [fleets]);
  const worstOf: { p: Pipeline; a: Asset }[] = [];
  fleets.forEach((f, i) => {
    f.changes.value;
    for (const a of f.assets.values()) if (a.risk !== null) worstOf.push({ p: list[i]!, a });
  });
  worstOf.sort((x, y) => y.a.risk! - x.a.risk! || (x.a.name < y.a.name ? -1 : 1));
  return (
    <section class="panel at-risk">
      <h2 class="chart-title">At risk now</h2>
      {worstOf.length === 0 && <p class="muted small">No asset has been scored yet.</p>}
      <ol>
        {worstOf.slice(0, 5).map(({ p, a }) => (
          <li key={`${p.name}/${a.name}`}>
            <a class="strong" href={link('asset', [p.name, a.name])}>
              {a.name}
            </a>
            <RiskBar risk={a.risk} />
            <span class="num muted right">{score(a.value, p.unit)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** made names the figure of what a pipeline makes: windows, where it ends at their values. */
const made = (p: Pipeline) => (p.task === 'aggregate' ? 'windows' : 'scores');

function PipelineRow({ p }: { p: Pipeline }) {
  const run = running(p.name);
  return (
    <tr>
      <td>
        <a class="strong" href={link('fleet', [p.name])}>
          {p.name}
        </a>
        <div class="faint small">{p.topic}</div>
      </td>
      <td>{p.task || windows(p) ? task(p.task) : 'Rows only'}</td>
      <td>
        {p.model ? <code>{p.model}</code> : <span class="muted">{run ? `training, ${percent(progress(run))}` : windows(p) ? 'none yet' : 'needs none'}</span>}
        {!!p.learning && <div class="faint small">learns {count(p.learning)} {p.learning === 1 ? 'asset' : 'assets'}, without scores yet</div>}
        {p.model && p.trained && <div class="faint small">trained {duration((now() - Date.parse(p.trained)) / 1000)} ago</div>}
      </td>
      <td class="num">{rate(latest(p.name, 'records'))}</td>
      <td class="num">{rate(latest(p.name, made(p)))}</td>
      <td>
        <Spark values={past(p.name, made(p))} width={120} height={24} label={`${p.task === 'aggregate' ? 'Windows' : 'Scores'} a second of ${p.name}, the last minutes`} />
      </td>
      <td class="num">{count(latest(p.name, 'lag'))}</td>
      <td class="num">{seconds(latest(p.name, 'p50'))}</td>
      <td class="num">{seconds(latest(p.name, 'p99'))}</td>
      <td class="num">{count(latest(p.name, 'assets'))}</td>
      <td class="num">{p.task === 'aggregate' ? '–' : count(latest(p.name, 'scores_total'))}</td>
      <td class="num">{count(latest(p.name, 'dead_total'))}</td>
    </tr>
  );
}

/** Parts tells whether each part of the appliance is ready. */
function Parts() {
  const parts = status.value?.components ?? [];
  return (
    <ul class="parts" aria-label="Parts of the appliance">
      {parts.map((c) => (
        <li key={c.name} class={c.ready ? 'part ready' : 'part waiting'} title={c.detail}>
          <span class="dot" aria-hidden="true" />
          {c.name}
          <span class="hidden">{c.ready ? 'ready' : 'not ready'}</span>
          {!c.ready && c.detail && <span class="part-detail">{c.detail}</span>}
        </li>
      ))}
    </ul>
  );
}

/** windows tells whether a pipeline makes windows for a model, which it may have yet to get. */
const windows = (p: Pipeline) => p.task !== 'aggregate' && p.length > 0;

/** Banners says loudly what a newcomer must know: that a first model is being trained, and how far it is. */
function Banners() {
  // Without a task nothing is trained here.
  const first = pipelines.value.filter((p) => !p.model && p.task !== '' && p.task !== 'aggregate');
  if (first.length === 0) return null;
  return (
    <div class="banners">
      {first.map((p) => {
        const run = running(p.name) ?? runs.value.find((r) => r.pipeline === p.name);
        return <FirstModel key={p.name} p={p} run={run} />;
      })}
    </div>
  );
}

function FirstModel({ p, run }: { p: Pipeline; run: Run | undefined }) {
  const state = run && runState(run);
  if (run && state !== 'running') {
    return (
      <div class="banner bad" role="status">
        <strong>{p.name} has no model.</strong> <span>The last training run {state}: {run.detail || 'no reason was given'}.</span>
        <a href={link('training', [run.run])}>Look at the run</a>
      </div>
    );
  }
  const left = run ? remaining(run) : null;
  return (
    <div class="banner" role="status">
      <div class="banner-text">
        <strong>The first model of {p.name} is being trained.</strong>{' '}
        <span>{run ? `Records are kept meanwhile; scores begin when it is done${left !== null ? `, in about ${duration(Math.max(1, left))}` : ''}.` : 'It starts as soon as there are enough rows to learn from.'}</span>
      </div>
      <div class="banner-progress">
        <Progress share={run ? progress(run) : 0} label={`Training of ${p.name}`} />
        <span class="num">{run ? `epoch ${run.epoch} of ${run.epochs || '–'}` : 'waiting'}</span>
        {run && <a href={link('training', [run.run])}>Details</a>}
      </div>
    </div>
  );
}

function Stage({
  name,
  icon,
  area,
  figure,
  unit,
  facts,
  spark,
  sparkLabel,
  tone = 'accent',
}: {
  name: string;
  icon: string;
  area: string;
  figure: string;
  unit: string;
  facts: [string, ComponentChildren][];
  spark: (number | null)[];
  sparkLabel: string;
  tone?: string;
}) {
  return (
    <article class="stage" style={{ gridArea: area }} data-stage={area}>
      <h2>
        <Icon name={icon} size={16} /> {name}
      </h2>
      <p class="figure">
        <span class="figure-number">{figure}</span> <span class="figure-unit">{unit}</span>
      </p>
      <dl class="facts">
        {facts.map(([k, v]) => (
          <div key={k}>
            <dt>{k}</dt>
            <dd>{v}</dd>
          </div>
        ))}
      </dl>
      <Spark values={spark} width={0} height={34} tone={tone} label={sparkLabel} />
    </article>
  );
}

/** useFlow moves dots along a wire, faster for more, without a jump when the pace changes. */
function useFlow(on: boolean, pace: number | null) {
  const dots = useRef<HTMLDivElement>(null);
  const animation = useRef<Animation | null>(null);
  useEffect(() => {
    const vertical = dots.current!.classList.contains('vertical');
    const up = dots.current!.parentElement?.classList.contains('up');
    const frames = vertical ? { backgroundPositionY: ['0px', up ? '-12px' : '12px'] } : { backgroundPositionX: ['0px', '12px'] };
    animation.current = dots.current!.animate(frames, { duration: 1000, iterations: Infinity });
    return () => animation.current?.cancel();
  }, []);
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const speed = on && !still ? 0.35 + 0.45 * Math.log10(1 + (pace ?? 1)) : 0;
  useEffect(() => animation.current?.updatePlaybackRate(speed), [Math.round(speed * 10)]);
  return dots;
}

function Wire({ area, on, pace }: { area: string; on: boolean; pace: number | null }) {
  const dots = useFlow(on, pace);
  return <div class={on ? 'wire on' : 'wire'} style={{ gridArea: area }} ref={dots} aria-hidden="true" />;
}

function Drop({ area, on, label, up, before }: { area: string; on: boolean; label: string; up?: boolean; before?: boolean }) {
  const dots = useFlow(on, 4);
  return (
    <div class={`drop${up ? ' up' : ''}${before ? ' before' : ''}`} style={{ gridArea: area }} aria-hidden="true">
      <div class={`wire vertical${on ? ' on' : ''}`} ref={dots} />
      <span>{label}</span>
    </div>
  );
}

function DeadLetters() {
  const byReason = new Map<string, number>();
  let total = 0;
  for (const reasons of Object.values(status.value?.dead_letters ?? {})) {
    for (const [reason, n] of Object.entries(reasons)) {
      byReason.set(reason, (byReason.get(reason) ?? 0) + n);
      total += n;
    }
  }
  const list = [...byReason].sort((a, b) => b[1] - a[1]);
  return (
    <article class="stage wide" style={{ gridArea: 'dead' }} data-stage="dead">
      <h2>
        <Icon name="dead" size={16} /> Dead letters
        <a class="stage-more" href={link('letters')}>
          Look at them
        </a>
      </h2>
      <div class="split">
        <p class="figure">
          <span class="figure-number">{count(total)}</span> <span class="figure-unit">set aside, {rate(latest(null, 'dead'))}/s</span>
        </p>
        <ul class="reasons">
          {list.length === 0 && <li class="muted">Every record could be used.</li>}
          {list.map(([reason, n]) => (
            <li key={reason}>
              <span>{reasonNames[reason] ?? reason}</span>
              <b class="num">{count(n)}</b>
            </li>
          ))}
        </ul>
      </div>
    </article>
  );
}

function Trainer() {
  const busy = runs.value.find((r) => runState(r) === 'running');
  const last = busy ?? runs.value[0];
  return (
    <article class="stage wide" style={{ gridArea: 'trainer' }} data-stage="trainer">
      <h2>
        <Icon name="training" size={16} /> Trainer
      </h2>
      {!last && <p class="muted">No run yet. The first starts when a pipeline has no model and enough rows.</p>}
      {last && (
        <div class="split">
          <p class="figure">
            <span class="figure-number">{busy ? percent(progress(busy)) : runState(last) === 'finished' ? 'Idle' : 'Failed'}</span>{' '}
            <span class="figure-unit">{busy ? `${busy.pipeline}, epoch ${busy.epoch} of ${busy.epochs}` : `for ${duration((now() - last.updated) / 1000)}`}</span>
          </p>
          {busy ? (
            <div class="trainer-run">
              <Progress share={progress(busy)} label={`Training of ${busy.pipeline}`} />
              <a class="small" href={link('training', [busy.run])}>
                {rate(busy.rate)} windows/s
              </a>
            </div>
          ) : (
            <ul class="reasons">
              <li>
                <span>Last run</span>
                <a href={link('training', [last.run])}>{last.pipeline}</a>
              </li>
              <li>
                <span>Model</span>
                <code>{last.version ?? 'none'}</code>
              </li>
            </ul>
          )}
        </div>
      )}
    </article>
  );
}

function Host() {
  return (
    <article class="stage" style={{ gridArea: 'host' }} data-stage="host">
      <h2>
        <Icon name="host" size={16} /> Process
      </h2>
      <dl class="facts tall">
        <div>
          <dt>Processor</dt>
          <dd>{(latest(null, 'cpu') ?? 0).toFixed(2)} cores</dd>
        </div>
        <div>
          <dt>Memory</dt>
          <dd>{bytes(latest(null, 'memory'))}</dd>
        </div>
        <div>
          <dt>Live pages</dt>
          <dd>{count(latest(null, 'clients'))}</dd>
        </div>
      </dl>
    </article>
  );
}

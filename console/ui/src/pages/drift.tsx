// Drift: whether what a model sees, says and is expected to lose is as it was when it was made, what has changed, since when, and what it costs.

import { useEffect, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import type uPlot from 'uplot';
import { budget, changed, units, unwatched, type Drift, type Estimate, type Feature } from '../lib/drift.ts';
import { count, value } from '../lib/format.ts';
import { ask } from '../lib/letters.ts';
import { link } from '../lib/route.ts';
import { route } from '../state/route.ts';
import { Chart, type Draw } from '../parts/chart.tsx';

const kindNames: Record<string, string> = {
  'input-drift': 'Inputs have changed',
  'prediction-drift': 'Predictions have changed',
  'estimated-loss': 'Expected loss is higher',
  'realised-loss': 'Realised loss is higher',
};
const metricNames: Record<string, string> = { loss: 'Loss', accuracy: 'Accuracy', f1: 'F1', roc_auc: 'ROC AUC', brier: 'Brier score' };
const measureNames: Record<string, string> = { place: 'ranks moved', spread: 'spread', ks: 'distribution', missing: 'missing values', mean: 'mean', adwin: 'trend', mmd: 'embedding (MMD)', kind: 'new camera' };

export function DriftPage() {
  const { pipeline = '', version = '', feature = '', group = '' } = route.value.query;
  const answer = useSignal<{ data?: Drift; error?: string }>({});
  useEffect(() => {
    const over = new AbortController();
    const get = () =>
      ask<Drift>(`/api/v1/drift?${new URLSearchParams({ pipeline, version })}`, undefined, over.signal).then(
        (data) => {
          if (!over.signal.aborted) answer.value = { data };
        },
        (e: Error) => {
          if (!over.signal.aborted) answer.value = { ...answer.value, error: e.message };
        },
      );
    void get();
    const t = setInterval(() => void get(), 5000);
    return () => (over.abort(), clearInterval(t));
  }, [pipeline, version]);
  const { data: d, error } = answer.value;
  const chosen = d && (d.features.find((f) => f.feature === feature && f.group === (group || 'fleet')) ?? d.features[0]);
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Drift</h1>
          <p class="sub">Whether what a model sees, says and is expected to lose is as it was when it was made: like with like, by age or by camera, with each {d ? units(d).asset : 'asset'} counted once.</p>
        </div>
      </header>
      {error && (
        <p class="fault" role="alert">
          {error}
        </p>
      )}
      {d && d.pipelines.length === 0 && <p class="empty">Nothing was watched yet. A round is 500 scored windows, or frames, of each partition, once a pipeline has a model.</p>}
      {d && d.pipelines.length > 0 && (
        <>
          <nav class="drift-tabs" aria-label="Pipelines">
            {d.pipelines.map((p) => (
              <a key={p.pipeline} class="drift-tab" href={link('drift', [], { pipeline: p.pipeline })} aria-current={p.pipeline === d.pipeline ? 'page' : undefined}>
                <span class="strong">{p.pipeline}</span>
                <span class={`chip tone-${p.standing > 0 ? 'critical' : p.drifted > 0 ? 'watch' : 'ok'}`}>{p.standing > 0 ? 'alarm' : p.drifted > 0 ? `${p.drifted} changed` : 'as it was'}</span>
              </a>
            ))}
          </nav>
          <Versions d={d} />
          <Facts d={d} />
          <Alarms d={d} />
          {chosen && (
            <section class="panel drift-one" data-feature={chosen.feature}>
              <h2 class="panel-title">
                {chosen.feature}
                {chosen.group !== 'fleet' && <span class="muted"> of {chosen.group}</span>}
              </h2>
              <div class="drift-pair">
                <Distance key={`${d.version}/${chosen.group}/${chosen.feature}`} f={chosen} />
                <Histogram f={chosen} many={units(d).many} />
              </div>
            </section>
          )}
          <Estimates d={d} />
          <Features d={d} chosen={chosen} />
        </>
      )}
    </div>
  );
}

/** Versions chooses among the models that were watched, and says what is not watched yet. */
function Versions({ d }: { d: Drift }) {
  const waiting = unwatched(d);
  if (d.versions.length < 2 && !waiting) return null;
  return (
    <div class="drift-head">
      {waiting && (
        <p class="muted small" data-waiting={waiting}>
          Canary <code>{waiting}</code> scores some of the {units(d).assets}: what it sees and says is held against its own reference, and told once it has a round of {units(d).many}.
        </p>
      )}
      {d.versions.some((v) => v.rounds > 0 && v.version !== d.version) && (
        <label class="small">
          <span class="muted">Model</span>{' '}
          <select value={d.version} onChange={(ev) => location.assign(link('drift', [], { pipeline: d.pipeline, version: ev.currentTarget.value }))}>
            {d.versions
              .filter((v) => v.rounds > 0)
              .map((v) => (
                <option key={v.version} value={v.version}>
                  {v.version}
                  {v.alias && `, ${v.alias}`}: {count(v.rounds)} rounds
                </option>
              ))}
          </select>
        </label>
      )}
    </div>
  );
}

function Facts({ d }: { d: Drift }) {
  const loss = d.estimates.find((e) => e.metric === 'loss')?.points.at(-1);
  const rate = budget(d);
  return (
    <dl class="drift-facts">
      <div>
        <dt>Model</dt>
        <dd>
          <code>{d.version}</code>
        </dd>
      </div>
      <div>
        <dt>Reference</dt>
        <dd>{d.reference === 'line' ? `first ${units(d).many} here` : 'from training'}</dd>
      </div>
      <div>
        <dt>Looked at</dt>
        <dd>
          {count(d.windows)} {units(d).many}, {count(d.rounds)} rounds
        </dd>
      </div>
      <div>
        <dt>Changed now</dt>
        <dd>
          {changed(d)} of {d.features.length} features
        </dd>
      </div>
      <div>
        <dt>Expected loss</dt>
        <dd>{loss ? `${value(loss.value)}, ${value(loss.before)} at training` : '–'}</dd>
      </div>
      <div title={`Alarms of this model for each 1,000 ${units(d).many}, if all of them were false; the budget is 0.05.`}>
        <dt>Alarms / 1,000 {units(d).many}</dt>
        <dd>
          {rate === null ? '–' : rate.toFixed(3)} <span class="muted small">of 0.05</span>
        </dd>
      </div>
    </dl>
  );
}

function Alarms({ d }: { d: Drift }) {
  if (d.alarms.length === 0) return null;
  return (
    <section class="panel">
      <h2 class="panel-title">Alarms</h2>
      <div class="scroll-x">
        <table class="table tight">
          <thead>
            <tr>
              <th>What</th>
              <th>State</th>
              <th>Since</th>
              <th>Model</th>
              <th>Causes</th>
              <th class="num">Loss</th>
            </tr>
          </thead>
          <tbody>
            {d.alarms.map((a) => (
              <tr key={a.id} data-alarm={a.kind}>
                <td class="strong">{kindNames[a.kind] ?? a.kind}</td>
                <td>
                  <span class={`chip tone-${a.over ? 'none' : 'critical'}`}>{a.over ? 'over' : 'stands'}</span>
                </td>
                <td class="num">{a.since.slice(0, 16).replace('T', ' ')}</td>
                <td>
                  <code>{a.version}</code>
                </td>
                <td title={a.detail}>
                  {a.causes.slice(0, 4).map((c) => (
                    <a key={`${c.group}/${c.feature}`} class="drift-cause" href={link('drift', [], { pipeline: d.pipeline, feature: c.feature, group: c.group === 'fleet' ? undefined : c.group })}>
                      {c.feature}
                      {c.group !== 'fleet' && ` of ${c.group}`}{' '}
                      <span class="muted small">
                        {value(c.before)} → {value(c.now)}
                      </span>
                    </a>
                  ))}
                  {a.causes.length > 4 && <span class="muted small"> and {a.causes.length - 4} more</span>}
                </td>
                <td class="num">{a.loss === null ? '–' : `${value(a.before)} → ${value(a.loss)}`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** Distance shows how far a feature was from its reference, round by round. */
function Distance({ f }: { f: Feature }) {
  const draw = useRef<Draw | null>(null);
  const show = () => {
    const x = f.history.map((h) => h.ms);
    const data = [x, f.history.map((h) => h.ks)] as uPlot.AlignedData;
    const first = x[0] ?? 0;
    draw.current?.(data, first, Math.max(x.at(-1) ?? 1, first + 1000));
  };
  const latest = useRef(show);
  latest.current = show;
  useEffect(show, [f]);
  return (
    <figure>
      <figcaption class="muted small">Distance from the reference (KS), by event time</figcaption>
      <Chart
        label={`Distance of ${f.feature} over time, now ${value(f.ks)}`}
        lines={[{ name: 'KS', color: '--accent', points: true }]}
        height={190}
        fromZero
        marks={[{ at: 0.15, color: '--watch', label: 'limit' }]}
        handle={(h) => ((draw.current = h), h && latest.current())}
      />
    </figure>
  );
}

/** Histogram shows what there was in the newest round beside what the reference leads to expect, in bins that held as many values each. */
function Histogram({ f, many }: { f: Feature; many: string }) {
  const most = Math.max(1, ...f.counts, ...f.expected);
  const width = 100 / Math.max(f.counts.length, 1);
  return (
    <figure>
      <figcaption class="muted small">
        <span class="key now" aria-hidden="true" /> now ({value(f.now)}) <span class="key was" aria-hidden="true" /> reference ({value(f.before)}), low to high
      </figcaption>
      <svg class="drift-bars" viewBox="0 0 100 60" preserveAspectRatio="none" role="img" aria-label={`${many} of ${f.feature} by bin: ${f.counts.join(', ')}`}>
        {f.counts.map((n, i) => (
          <rect key={i} class="now" x={i * width + width * 0.12} width={width * 0.76} y={60 - (58 * n) / most} height={(58 * n) / most} />
        ))}
        <path class="was" d={f.expected.map((n, i) => `${i === 0 ? 'M' : 'L'}${i * width} ${60 - (58 * n) / most}H${(i + 1) * width}`).join('')} />
      </svg>
    </figure>
  );
}

/** Estimates shows what the model was expected to be worth, and what came true once labels told. */
function Estimates({ d }: { d: Drift }) {
  const list = d.estimates.filter((e) => e.points.some((p) => p.value !== null));
  const metric = useSignal('');
  if (list.length === 0) return null;
  const e = list.find((x) => x.metric === metric.value) ?? list.find((x) => x.metric === 'loss') ?? list[0]!;
  return (
    <section class="panel drift-one">
      <div class="drift-head">
        <h2 class="panel-title">Expected and realised</h2>
        <label class="small">
          <span class="muted">Metric</span>{' '}
          <select value={e.metric} onChange={(ev) => (metric.value = ev.currentTarget.value)}>
            {list.map((x) => (
              <option key={x.metric} value={x.metric}>
                {metricNames[x.metric] ?? x.metric}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Expected key={`${d.version}/${e.metric}`} e={e} many={units(d).many} />
      <div class="scroll-x">
        <table class="table tight">
          <thead>
            <tr>
              <th>Round that ended</th>
              <th class="num">Expected</th>
              <th class="num">±</th>
              <th class="num">At training</th>
              <th class="num">Realised</th>
              <th class="num">Settled {units(d).many}</th>
            </tr>
          </thead>
          <tbody>
            {e.points
              .slice(-6)
              .reverse()
              .map((p, i) => (
                <tr key={i}>
                  <td>{new Date(p.ms).toISOString().slice(0, 16).replace('T', ' ')}</td>
                  <td class="num">{value(p.value)}</td>
                  <td class="num">{value(p.error)}</td>
                  <td class="num">{value(p.before)}</td>
                  <td class="num">{value(p.realised)}</td>
                  <td class="num">{count(p.settled)}</td>
                </tr>
              ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Expected({ e, many }: { e: Estimate; many: string }) {
  const draw = useRef<Draw | null>(null);
  const show = () => {
    const x = e.points.map((p) => p.ms);
    const data = [x, e.points.map((p) => p.value), e.points.map((p) => p.before), e.points.map((p) => p.realised)] as uPlot.AlignedData;
    const first = x[0] ?? 0;
    draw.current?.(data, first, Math.max(x.at(-1) ?? 1, first + 1000));
  };
  const latest = useRef(show);
  latest.current = show;
  useEffect(show, [e]);
  return (
    <>
      <p class="muted small drift-legend">
        <span class="key now" aria-hidden="true" /> expected <span class="key was" aria-hidden="true" /> at training, for such {many} <span class="key true" aria-hidden="true" /> realised, where labels tell
      </p>
      <Chart
        label={`${metricNames[e.metric] ?? e.metric}: expected, at training and realised`}
        lines={[
          { name: 'expected', color: '--accent', points: true },
          { name: 'at training', color: '--muted', dash: [4, 4] },
          { name: 'realised', color: '--second', points: true },
        ]}
        height={190}
        handle={(h) => ((draw.current = h), h && latest.current())}
      />
    </>
  );
}

function Features({ d, chosen }: { d: Drift; chosen: Feature | undefined }) {
  return (
    <section class="panel">
      <h2 class="panel-title">Features</h2>
      <div class="scroll-x">
        <table class="table tight">
          <thead>
            <tr>
              <th>Feature</th>
              <th>Group</th>
              <th>State</th>
              <th class="num">Before</th>
              <th class="num">Now</th>
              <th class="num">Deviation</th>
              <th class="num">KS</th>
              <th class="num">PSI</th>
              <th class="num">Chance</th>
              <th>Found by</th>
              <th class="num" title={`As how many independent ${units(d).many} they count`}>
                {units(d).many === 'frames' ? 'Frames' : 'Windows'} (effective)
              </th>
              <th>Furthest off</th>
            </tr>
          </thead>
          <tbody>
            {d.features.map((f) => (
              <tr key={`${f.group}/${f.feature}`} class={f === chosen ? 'chosen' : ''}>
                <td>
                  <a class="strong" href={link('drift', [], { pipeline: d.pipeline, feature: f.feature, group: f.group === 'fleet' ? undefined : f.group })} aria-current={f === chosen ? 'true' : undefined}>
                    {f.feature}
                  </a>
                </td>
                <td class="muted">{f.group}</td>
                <td>
                  {f.drifted ? (
                    <span class="chip tone-critical">
                      {f.streak} round{f.streak === 1 ? '' : 's'}
                    </span>
                  ) : (
                    <span class="faint">as it was</span>
                  )}
                </td>
                <td class="num">{value(f.before)}</td>
                <td class="num">{value(f.now)}</td>
                <td class="num muted">{value(f.deviation)}</td>
                <td class="num">{value(f.ks)}</td>
                <td class="num">{value(f.psi)}</td>
                <td class="num">{f.q < 1e-4 ? '< 0.0001' : value(f.q)}</td>
                <td class="muted">{measureNames[f.measure] ?? f.measure}</td>
                <td class="num">
                  {count(f.windows)} <span class="muted small">({count(f.effective)})</span>
                </td>
                <td class="muted">{f.furthest.slice(0, 3).join(', ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

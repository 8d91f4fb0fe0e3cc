// One asset: its score and its signals as they come, with the past behind them.

import { signal, useComputed, useSignal, type Signal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import { count, score, span, unitName, value, valueName } from '../lib/format.ts';
import { missed, tell } from '../lib/labels.ts';
import { link } from '../lib/route.ts';
import { around, visible, windowChoices } from '../lib/windows.ts';
import type { Pipeline } from '../lib/protocol.ts';
import { AssetFeed } from '../state/asset.ts';
import { pipelines, status } from '../state/line.ts';
import { route } from '../state/route.ts';
import { Chart, type Draw, type Mark } from '../parts/chart.tsx';
import { Icon } from '../parts/icons.tsx';
import { ToneChip } from '../parts/risk.tsx';
import { Stamp } from '../parts/stamp.tsx';

export function AssetPage() {
  const [pipeline, asset] = route.value.parts;
  const p = pipelines.value.find((x) => x.name === pipeline);
  if (!status.value) return <div class="page" />;
  if (!p || !asset) return <p class="empty">There is no pipeline “{pipeline}”.</p>;
  const { choices, usual } = windowChoices(1000 * (p.grid_seconds || 1));
  const { w: asked, from, to } = route.value.query;
  // An address that names a time, as an alert's evidence does, begins held there.
  const look = around(from, to);
  const reach = look || asked === 'all' ? 0 : Number(asked) > 0 ? Number(asked) : usual;
  return <AssetOf key={`${p.name}/${asset}/${reach}/${from}/${to}`} p={p} asset={asset} reach={reach} look={look} choices={choices} />;
}

/** What is on screen while it is held: the bounds of time, and how much had arrived when it was. */
interface Held {
  from: number;
  to: number;
  arrived: number;
}

/** Instant is what the numbers beside the charts are of: where one points, else the newest on screen. A new one for each arrival. */
interface Instant {
  time: number;
}

/** Cursor is the instant that is pointed at, shared by all charts. */
interface Cursor {
  x: Signal<number | null>;
}

function AssetOf({ p, asset, reach, look, choices }: { p: Pipeline; asset: string; reach: number; look: { from: number; to: number } | null; choices: number[] }) {
  const feed = useMemo(() => new AssetFeed(p, asset, reach), []);
  useEffect(() => () => feed.close(), []);
  const held = useSignal<Held | null>(look && { ...look, arrived: 0 });
  const cursor = useMemo<Cursor>(() => ({ x: signal(null) }), []);
  const draws = useRef(new Map<string, Draw>());
  const table = useSignal(false);
  const at = useComputed<Instant>(() => {
    feed.changes.value;
    return { time: cursor.x.value ?? held.value?.to ?? Infinity };
  });

  const bounds = (): [number, number] => {
    const h = held.peek();
    if (h) return [h.from, h.to];
    const last = Math.max(feed.rows.last || 0, feed.scores.last || 0);
    const first = Math.min(feed.rows.first || last, feed.scores.first || last);
    return visible(first, last, reach);
  };
  const draw = () => {
    const [from, to] = bounds();
    const rows = feed.rows.window(from, to);
    const scores = feed.scores.window(from, to);
    for (const [key, f] of draws.current) {
      if (key === 'risk') f([scores.times, scores.columns[1]!] as uPlot.AlignedData, from, to);
      else if (key === 'value') f([scores.times, scores.columns[0]!] as uPlot.AlignedData, from, to);
      else f([rows.times, rows.columns[Number(key)]!] as uPlot.AlignedData, from, to);
    }
  };
  // One frame draws whatever has come since the last.
  const pending = useRef(0);
  const soon = () => {
    pending.current ||= requestAnimationFrame(() => {
      pending.current = 0;
      draw();
    });
  };
  useEffect(() => {
    const stop = [feed.changes.subscribe(() => (held.peek() && !look) || soon()), held.subscribe(soon)];
    return () => {
      stop.forEach((f) => f());
      cancelAnimationFrame(pending.current);
    };
  }, []);
  const handle = (key: string) => (f: Draw | null) => {
    if (f) draws.current.set(key, f);
    else draws.current.delete(key);
    soon();
  };

  const pause = () => {
    const [from, to] = bounds();
    held.value = held.value ? null : { from, to, arrived: feed.arrived };
  };
  const select = (from: number, to: number) => {
    held.value = { from, to, arrived: held.value?.arrived ?? feed.arrived };
  };
  useEffect(() => {
    const key = (e: Event) => (e as CustomEvent<string>).detail === 'pause' && pause();
    addEventListener('andon:key', key);
    return () => removeEventListener('andon:key', key);
  }, []);

  const s = status.value!;
  const riskLine = [{ at: 0, color: '--ok-fill' }, { at: s.risk_watch, color: '--watch-fill' }, { at: s.risk_critical, color: '--critical-fill' }];
  const riskMarks: Mark[] = [
    { at: s.risk_watch, color: '--watch', label: 'watch' },
    { at: s.risk_critical, color: '--critical', label: 'critical' },
  ];
  const valueMarks: Mark[] = p.horizon ? [{ at: p.horizon, color: '--watch', label: `${p.horizon} ${unitName(p.unit)}` }] : [];
  const empty = feed.loaded.value && feed.changes.value >= 0 && feed.rows.length === 0 && feed.scores.length === 0;

  return (
    <div class="page">
      <header class="page-head">
        <div>
          <p class="crumbs">
            <a href={link('fleet', [p.name])}>
              <Icon name="back" size={14} /> {p.name}
            </a>
          </p>
          <div class="asset-title">
            <h1>{asset}</h1>
            <NewestTone feed={feed} />
          </div>
        </div>
        <div class="controls">
          <div class="segments" role="group" aria-label="Span of event time">
            {[...choices, 0].map((w) => (
              <a key={w} href={link('asset', [p.name, asset], { w: w === 0 ? 'all' : String(w) })} aria-current={w === reach ? 'true' : undefined}>
                {w === 0 ? 'All' : span(w)}
              </a>
            ))}
          </div>
          <MissedButton pipeline={p.name} asset={asset} bounds={bounds} held={held} />
          <PauseButton feed={feed} held={held} onPress={pause} />
        </div>
      </header>
      {feed.fault.value && (
        <div class="banner bad" role="alert">
          <strong>The history could not be read.</strong> <span>{feed.fault.value}</span>
        </div>
      )}
      <Readout feed={feed} p={p} at={at} cursor={cursor} />
      {empty && !feed.fault.value && <p class="empty">Nothing is known of this asset yet. What comes will be drawn here.</p>}
      <section class="charts two" aria-label="Score">
        <ChartCard title="Risk" at={at} read={(t) => read(feed.scores, 1, t)} show={(v) => v.toFixed(3)}>
          <Chart label={`Risk of ${asset} over time`} height={190} sync="asset" range={[0, 1]} marks={riskMarks} format={(v) => v.toFixed(1)}
            lines={[{ name: 'risk', color: '--ok-fill', byHeight: riskLine }]} onCursor={(_, x) => (cursor.x.value = x)} onSelect={select} handle={handle('risk')} />
        </ChartCard>
        <ChartCard title={valueName(p.task)} at={at} read={(t) => read(feed.scores, 0, t)} show={(v) => score(v, p.unit)}>
          <Chart label={`${valueName(p.task)} of ${asset} over time`} height={190} sync="asset" marks={valueMarks}
            lines={[{ name: 'value', color: '--accent', fill: true }]} onCursor={(_, x) => (cursor.x.value = x)} onSelect={select} handle={handle('value')} />
        </ChartCard>
      </section>
      <section aria-label="Signals">
        <div class="section-head">
          <h2>
            Signals <span class="faint num">{p.signals.length}</span>
          </h2>
          <button class="quiet" onClick={() => (table.value = !table.value)} aria-pressed={table.value}>
            {table.value ? 'Charts' : 'Table'}
          </button>
        </div>
        {table.value ? (
          <Readings feed={feed} p={p} />
        ) : (
          <div class={p.signals.length === 1 ? 'charts one' : p.signals.length === 2 ? 'charts two' : 'charts three'}>
            {p.signals.map((name, i) => (
              <ChartCard key={name} title={name} at={at} read={(t) => read(feed.rows, i, t)} show={value} small>
                <Chart label={`${name} of ${asset} over time`} height={p.signals.length <= 2 ? 220 : 118} sync="asset"
                  lines={[{ name, color: '--signal' }]} onCursor={(_, x) => (cursor.x.value = x)} onSelect={select} handle={handle(String(i))} />
              </ChartCard>
            ))}
          </div>
        )}
      </section>
    </div>
  );
}

function read(series: { at(t: number): number; columns: Float32Array[] }, column: number, time: number): number | null {
  const i = series.at(time);
  const v = i < 0 ? NaN : series.columns[column]![i]!;
  return Number.isFinite(v) ? v : null;
}

function ChartCard({
  title,
  at,
  read,
  show,
  children,
  small,
}: {
  title: string;
  at: Signal<Instant>;
  read: (time: number) => number | null;
  show: (v: number) => string;
  children: preact.ComponentChildren;
  small?: boolean;
}) {
  return (
    <figure class={small ? 'panel chart-card small' : 'panel chart-card'}>
      <figcaption>
        <span class="chart-title">{title}</span>
        <Reading at={at} read={read} show={show} />
      </figcaption>
      {children}
    </figure>
  );
}

/** Reading is apart so that a moving cursor redraws a number and nothing else. */
function Reading({ at, read, show }: { at: Signal<Instant>; read: (time: number) => number | null; show: (v: number) => string }) {
  const v = read(at.value.time);
  return <output class="chart-value num">{v === null ? '–' : show(v)}</output>;
}

function NewestTone({ feed }: { feed: AssetFeed }) {
  feed.changes.value;
  return <ToneChip risk={read(feed.scores, 1, Infinity)} />;
}

/** MissedButton marks what is on screen while it is held, or the newest window, as what the model should have seen. */
function MissedButton({ pipeline, asset, bounds, held }: { pipeline: string; asset: string; bounds: () => [number, number]; held: Signal<Held | null> }) {
  const said = useSignal('');
  const mark = () => {
    const [from, to] = bounds();
    const h = held.peek();
    const l = { pipeline, asset, time: new Date(h ? from : to - 1).toISOString(), until: new Date(to).toISOString() };
    said.value = 'Telling …';
    tell([missed(l)]).then(
      () => (said.value = 'Marked as missed'),
      (e: Error) => (said.value = e.message),
    );
  };
  return (
    <>
      <button class="button" onClick={mark} title="The model should have seen what is on screen: select a stretch on a chart first">
        {held.value ? 'Mark as missed' : 'Mark the newest as missed'}
      </button>
      <output class="small faint" aria-live="polite">
        {said.value}
      </output>
    </>
  );
}

function PauseButton({ feed, held, onPress }: { feed: AssetFeed; held: Signal<Held | null>; onPress: () => void }) {
  feed.changes.value;
  const since = held.value ? feed.arrived - held.value.arrived : 0;
  return (
    <button class={held.value ? 'button on' : 'button'} onClick={onPress} aria-pressed={held.value !== null} title="p">
      <Icon name={held.value ? 'play' : 'pause'} size={15} />
      {held.value ? 'Resume' : 'Pause'}
      {held.value && <span class="badge num">+{count(since)} since pause</span>}
    </button>
  );
}

/** Readout tells in words what the charts show at the instant that is pointed at, or now. */
function Readout({ feed, p, at, cursor }: { feed: AssetFeed; p: Pipeline; at: Signal<Instant>; cursor: Cursor }) {
  const t = at.value.time;
  const i = feed.rows.at(t);
  const time = i < 0 ? feed.scores.last : feed.rows.times[i]!;
  return (
    <dl class="readout">
      <div>
        <dt>{cursor.x.value === null ? 'Last reading' : 'At the cursor'}</dt>
        <dd class="num">{Number.isFinite(time) ? <Stamp ms={time} precise={p.grid_seconds < 60} /> : '–'} UTC</dd>
      </div>
      <div>
        <dt>Window</dt>
        <dd class="num">
          {p.length > 0 ? `${p.length} steps of ${span(1000 * p.grid_seconds)}` : 'none'}
        </dd>
      </div>
      <div>
        <dt>Model</dt>
        <dd>{p.model ? <code>{p.model}</code> : p.task === 'aggregate' ? 'needs none' : p.length > 0 ? 'none yet' : 'none'}</dd>
      </div>
      <div>
        <dt>Topic</dt>
        <dd>{p.topic}</dd>
      </div>
      <div>
        <dt>Points</dt>
        <dd class="num">{count(feed.rows.length)}</dd>
      </div>
      {feed.missed.value > 0 && (
        <div>
          <dt>Left out and read again</dt>
          <dd class="num">{count(feed.missed.value)}</dd>
        </div>
      )}
    </dl>
  );
}

/** Readings is the table behind the charts: the newest readings in numbers. */
function Readings({ feed, p }: { feed: AssetFeed; p: Pipeline }) {
  feed.changes.value;
  const rows = [];
  for (let n = 0, i = feed.rows.at(Infinity); n < 50 && n < feed.rows.length && i >= 0; n++, i--) {
    rows.push(
      <tr key={feed.rows.times[i]}>
        <td class="num">
          <Stamp ms={feed.rows.times[i]!} precise={p.grid_seconds < 60} />
        </td>
        {p.signals.map((name, c) => (
          <td key={name} class="num">
            {value(feed.rows.columns[c]![i]!)}
          </td>
        ))}
      </tr>,
    );
  }
  return (
    <div class="panel scroll-x" tabIndex={0} role="region" aria-label="The newest readings">
      <table class="table tight">
        <thead>
          <tr>
            <th class="num">Event time, UTC</th>
            {p.signals.map((name) => (
              <th key={name} class="num">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{rows}</tbody>
      </table>
    </div>
  );
}


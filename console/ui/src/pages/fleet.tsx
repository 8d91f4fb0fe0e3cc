// A pipeline's assets, the one most in need of attention on top.

import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { ago, count, score, task, valueName } from '../lib/format.ts';
import { link } from '../lib/route.ts';
import type { Pipeline } from '../lib/protocol.ts';
import { Fleet, type Asset } from '../state/fleet.ts';
import { now } from '../state/feed.ts';
import { pipelines, status } from '../state/line.ts';
import { go, route } from '../state/route.ts';
import { running } from '../state/training.ts';
import { Icon } from '../parts/icons.tsx';
import { RiskBar, tone, toneNames, type Tone } from '../parts/risk.tsx';
import { Rows } from '../parts/rows.tsx';
import { Spark } from '../parts/spark.tsx';
import { Stamp } from '../parts/stamp.tsx';

const ROW = 46;
// How often the fleet is told, and with it ordered: often enough to be live, seldom enough to be read.
const HZ = 1;

type Order = 'risk' | 'asset' | 'value' | 'seen';

const orders: Record<Order, (a: Asset, b: Asset) => number> = {
  risk: (a, b) => (b.risk ?? -1) - (a.risk ?? -1) || byName(a, b),
  asset: (a, b) => byName(a, b),
  value: (a, b) => (a.value ?? Infinity) - (b.value ?? Infinity) || byName(a, b),
  seen: (a, b) => b.seen - a.seen || byName(a, b),
};

const byName = (a: Asset, b: Asset) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

export function FleetPage() {
  const name = route.value.parts[0] ?? pipelines.value[0]?.name;
  const p = pipelines.value.find((x) => x.name === name);
  return (
    <div class="page fill">
      <header class="page-head">
        <div>
          <h1>Fleet</h1>
          <p class="sub">{p ? `${task(p.task)}. Ranked by risk, as of each asset's newest score.` : ' '}</p>
        </div>
        <nav class="tabs" aria-label="Pipelines">
          {pipelines.value.map((x) => (
            <a key={x.name} href={link('fleet', [x.name])} aria-current={x.name === name ? 'page' : undefined}>
              {x.name}
            </a>
          ))}
        </nav>
      </header>
      {p && <FleetOf key={p.name} p={p} />}
      {!p && status.value && <p class="empty">There is no pipeline “{name}”.</p>}
    </div>
  );
}

function FleetOf({ p }: { p: Pipeline }) {
  const fleet = useMemo(() => new Fleet(p.name, HZ), [p.name]);
  useEffect(() => () => fleet.close(), [fleet]);
  const query = route.value.query;
  const filter = query.q ?? '';
  const only = query.only as Tone | undefined;
  const order = (query.sort && query.sort in orders ? query.sort : 'risk') as Order;
  const address = (change: Record<string, string | undefined>) => link('fleet', [p.name], { ...query, ...change });

  // The order holds as long as someone points at a row: a row must not run away from the pointer.
  const pointed = useSignal(false);
  const held = useRef<{ key: string; list: string[] }>({ key: '', list: [] });
  fleet.changes.value;

  const key = `${order} ${filter} ${only}`;
  if (held.current.key !== key || !pointed.value || held.current.list.length === 0) {
    const needle = filter.toLowerCase();
    const list = [...fleet.assets.values()].filter((a) => (!needle || a.name.toLowerCase().includes(needle)) && (!only || tone(a.risk) === only));
    held.current = { key, list: list.sort(orders[order]).map((a) => a.name) };
  }
  const list = held.current.list;

  const counts = { critical: 0, watch: 0, ok: 0, none: 0 };
  const bins = new Array<number>(25).fill(0);
  for (const a of fleet.assets.values()) {
    counts[tone(a.risk)]++;
    if (a.risk !== null) bins[Math.min(24, Math.floor(a.risk * 25))]!++;
  }
  const total = fleet.assets.size;

  const sortHead = (id: Order, label: string, cls = '') => (
    <span role="columnheader" class={cls} aria-sort={order === id ? (id === 'asset' || id === 'value' ? 'ascending' : 'descending') : undefined}>
      <a class={order === id ? 'sort on' : 'sort'} href={address({ sort: id === 'risk' ? undefined : id })}>
        {label}
        <Icon name="down" size={12} />
      </a>
    </span>
  );

  return (
    <>
      <div class="fleet-head">
        <div class="tiles" role="group" aria-label="Show only">
          {(['critical', 'watch', 'ok'] as const).map((t) => (
            <a key={t} class={`tile tone-${t}${only === t ? ' on' : ''}`} href={address({ only: only === t ? undefined : t })} aria-current={only === t ? 'true' : undefined}>
              <span class="tile-number num">{count(counts[t])}</span>
              <span class="tile-name">{toneNames[t]}</span>
            </a>
          ))}
        </div>
        <Spread bins={bins} />
        <label class="search">
          <Icon name="search" size={16} />
          <span class="hidden">Filter assets</span>
          <input
            id="filter"
            type="search"
            placeholder="Filter assets"
            value={filter}
            autocomplete="off"
            spellcheck={false}
            onInput={(e) => go(address({ q: e.currentTarget.value || undefined }), true)}
          />
          <kbd>/</kbd>
        </label>
      </div>
      <div class="panel list-panel">
        <Rows
          count={list.length}
          height={ROW}
          columns={7}
          label={`Assets of ${p.name}`}
          onPoint={(inside) => (pointed.value = inside)}
          head={
            <div class="fleet-row head" role="row">
              {sortHead('asset', 'Asset')}
              {sortHead('risk', 'Risk')}
              <span role="columnheader">Trend</span>
              {sortHead('value', valueName(p.task), 'right')}
              {sortHead('seen', 'Last reading', 'right')}
              <span role="columnheader">Model</span>
              <span role="columnheader" class="right">
                Scored
              </span>
            </div>
          }
          row={(i, top) => {
            const a = fleet.assets.get(list[i]!);
            if (!a) return null;
            return (
              <div class="fleet-row" role="row" aria-rowindex={i + 2} key={a.name} style={{ transform: `translateY(${top}px)` }} data-asset={a.name} data-risk={a.risk ?? ''}>
                <span role="cell" class="fleet-name">
                  <a href={link('asset', [p.name, a.name])}>{a.name}</a>
                </span>
                <span role="cell">
                  <RiskBar risk={a.risk} />
                </span>
                <span role="cell">
                  <Spark values={a.trend} width={96} height={24} high={1} tone={tone(a.risk)} label={`Risk of ${a.name} lately`} />
                </span>
                <span role="cell" class="num right">
                  {score(a.value, p.unit)}
                </span>
                <span role="cell" class="num right muted">
                  <Stamp ms={a.seen || a.end} precise={p.grid_seconds < 60} />
                </span>
                <span role="cell">
                  <code class="muted">{a.version ?? '–'}</code>
                </span>
                <span role="cell" class="num right muted">
                  {ago(a.scoredAt, now())}
                </span>
              </div>
            );
          }}
        />
        {fleet.loaded.value && list.length === 0 && (
          <p class="empty">
            {total > 0 ? (
              <>
                None of {count(total)} assets matches. <a href={link('fleet', [p.name])}>Show all</a>
              </>
            ) : running(p.name) && !p.model ? (
              'The first model is being trained; assets appear with their first readings.'
            ) : (
              `No reading has come from ${p.topic} yet.`
            )}
          </p>
        )}
        <p class="list-foot muted small">
          {list.length === total ? `${count(total)} ${total === 1 ? 'asset' : 'assets'}` : `${count(list.length)} of ${count(total)} assets`}
          {counts.none > 0 && `, ${count(counts.none)} not scored yet`}. Event time is UTC. {pointed.value ? 'The order holds while you point at a row.' : ''}
        </p>
      </div>
    </>
  );
}

/** Spread shows how the fleet's risks are spread from 0 to 1. */
function Spread({ bins }: { bins: number[] }) {
  const most = Math.max(...bins, 1);
  const s = status.value;
  return (
    <div class="spread" role="img" aria-label="How many assets stand at which risk, from 0 to 1">
      <div class="spread-bars" aria-hidden="true">
        {bins.map((n, i) => {
          const risk = (i + 0.5) / bins.length;
          const t = risk >= (s?.risk_critical ?? 0.8) ? 'critical' : risk >= (s?.risk_watch ?? 0.5) ? 'watch' : 'ok';
          return <i key={i} class={`tone-${t}`} style={{ height: n ? `${8 + 92 * Math.sqrt(n / most)}%` : '2px' }} />;
        })}
      </div>
      <div class="spread-axis small faint" aria-hidden="true">
        <span>risk 0</span>
        <span>1</span>
      </div>
    </div>
  );
}

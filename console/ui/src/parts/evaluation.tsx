// Models side by side: a table of models × scenarios with what each costs, of the campaign's gate or of a comparison that is asked for here.

import { signal, useSignal } from '@preact/signals';
import { costs, counted, merged, metricName, ofGate, preset, reference, rows, shownFirst, type Evaluation } from '../lib/evaluation.ts';
import { ago, count, duration, percent, stamp } from '../lib/format.ts';
import { ask } from '../lib/letters.ts';
import type { Version } from '../lib/loop.ts';
import { now } from '../state/feed.ts';

/** Comparison is one that was asked for on this page; it outlives a look at another page. */
interface Comparison {
  pipeline: string;
  versions: number;
  began: number;
  over: AbortController;
}

const going = signal<Comparison | null>(null);
/** said and made are what came of the last one of each pipeline. */
const said = signal<Record<string, string>>({});
const made = signal<Record<string, Evaluation>>({});
const picked = signal<Record<string, string>>({});

function compare(pipeline: string, versions: string[], done: () => void) {
  const over = new AbortController();
  going.value = { pipeline, versions: versions.length, began: Date.now(), over };
  const tell = (text: string) => void (said.value = { ...said.value, [pipeline]: text });
  tell('');
  ask<Evaluation>('/api/v1/evaluations', { pipeline, versions, who: 'console', why: 'asked on the page' }, over.signal)
    .then(
      (t) => {
        made.value = { ...made.value, [pipeline]: t };
        picked.value = { ...picked.value, [pipeline]: t.id };
        tell('The comparison is done.');
        done();
      },
      (e: Error) => tell(over.signal.aborted ? 'The comparison was stopped.' : `The comparison failed: ${e.message}`),
    )
    .finally(() => void (going.value = null));
}

interface Props {
  pipeline: string;
  stored: { data?: Evaluation[]; error?: string };
  versions: Version[] | undefined;
  champion?: string | undefined;
  challenger?: string | undefined;
  done: () => void;
}

/** Evaluations are a pipeline's tables, one of them whole, and the way to another. */
export function Evaluations({ pipeline, stored, versions, champion, challenger, done }: Props) {
  const all = merged(stored.data ?? [], made.value[pipeline]);
  const table = all.find((t) => t.id === picked.value[pipeline]) ?? shownFirst(all, challenger);
  return (
    <section class="panel evaluation" aria-labelledby="evaluation-title" data-panel="evaluations">
      <div class="run-head">
        <h2 id="evaluation-title">Side by side</h2>
        {all.length > 1 && table && (
          <label class="small">
            Table{' '}
            <select value={table.id} onChange={(e) => (picked.value = { ...picked.value, [pipeline]: e.currentTarget.value })}>
              {all.map((t) => (
                <option key={t.id} value={t.id}>
                  {stamp(t.time / 1e6)} · {t.versions?.length ?? 0} versions · {ofGate(t, challenger) ? 'this campaign’s gate' : t.who || 'nobody named'}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
      <Ask pipeline={pipeline} versions={versions} done={done} />
      {stored.error && (
        <p class="small evaluation-error">
          <span class="chip tone-critical">error</span> The tables cannot be read: {stored.error}
        </p>
      )}
      {table ? <Table table={table} champion={champion} versions={versions ?? []} /> : stored.data && <p class="empty">No models were put side by side yet. The gate does so with each challenger.</p>}
    </section>
  );
}

/** Ask lets one choose versions and has them compared. */
function Ask({ pipeline, versions, done }: Pick<Props, 'pipeline' | 'versions' | 'done'>) {
  const choice = useSignal<string[] | null>(null);
  const list = versions ?? [];
  const chosen = (choice.value ?? preset(list)).filter((v) => list.some((o) => o.version === v));
  const run = going.value;
  const text = said.value[pipeline] ?? '';
  if (list.length < 2) return versions ? <p class="small muted">A comparison wants two versions; there {list.length === 1 ? 'is one' : 'is none'} yet.</p> : null;
  return (
    <form
      class="evaluation-ask"
      onSubmit={(e) => {
        e.preventDefault();
        if (!run && chosen.length >= 2) compare(pipeline, chosen, done);
      }}
    >
      <fieldset disabled={!!run}>
        <legend class="small muted">Compare two versions or more on what none was trained on</legend>
        <div class="evaluation-versions">
          {list.map((v) => (
            <label key={v.version} class="small" title={`${v.network}, added ${ago(Date.parse(v.added), now())}`}>
              <input
                type="checkbox"
                checked={chosen.includes(v.version)}
                onChange={(e) => (choice.value = e.currentTarget.checked ? [...chosen, v.version] : chosen.filter((o) => o !== v.version))}
              />
              <code>{v.version}</code>
              {v.aliases.length > 0 && <span class="muted">{v.aliases.join(', ')}</span>}
            </label>
          ))}
        </div>
      </fieldset>
      <div class="evaluation-run">
        {run?.pipeline === pipeline ? (
          <>
            <div class="progress endless" role="progressbar" aria-label="The comparison goes on">
              <div />
            </div>
            <span class="small muted num">
              {count(run.versions)} versions, for {duration(Math.max(0, (now(), Date.now() - run.began) / 1000))}
            </span>
            {/* The keys keep the two buttons apart: one that turns into the other under a click would send the form. */}
            <button key="stop" type="button" class="button" onClick={() => run.over.abort()}>
              Stop
            </button>
          </>
        ) : (
          <>
            <button key="compare" class="button" disabled={!!run || chosen.length < 2}>
              Compare {chosen.length >= 2 ? `${chosen.length} versions` : ''}
            </button>
            {run && <span class="small muted">A comparison of {run.pipeline} goes on.</span>}
            {!run && chosen.length < 2 && <span class="small muted">Choose at least two.</span>}
          </>
        )}
        <span class="small" role="status">
          {text}
        </span>
      </div>
    </form>
  );
}

function Table({ table: t, champion, versions }: { table: Evaluation; champion: string | undefined; versions: Version[] }) {
  const against = reference(t, champion);
  const all = t.versions ?? [];
  const aliases = (version: string) => versions.find((v) => v.version === version)?.aliases ?? [];
  return (
    <>
      <p class="small muted">
        {stamp(t.time / 1e6)}, by {t.who || 'nobody named'}
        {t.why && `: ${t.why}`}. {metricName(t)}, less is better, with {percent(t.level)} intervals.
        {all.length > 1 && (
          <>
            {' '}
            Held against <code>{against}</code>: <Mark how="better" /> and <Mark how="worse" /> where the intervals do not overlap. The gate’s own test is paired and can see smaller differences.
          </>
        )}
      </p>
      <div class="evaluation-box" tabIndex={0} role="region" aria-label="Models by scenarios, and what each costs">
        <table class="table tight" data-table={t.id}>
          <thead>
            <tr>
              <th scope="col">Scenario</th>
              <th scope="col" class="num">
                {counted(t)[0]}
              </th>
              <th scope="col" class="num">
                {counted(t)[1]}
              </th>
              {all.map((v) => (
                <th key={v.version} scope="col" class="num">
                  <code>{v.version}</code>
                  <span class="evaluation-range">{[...(v.version === against && all.length > 1 ? ['held against'] : []), ...aliases(v.version), v.network].join(' · ')}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows(t, against).map((r) => (
              <tr key={r.scenario.name} data-scenario={r.scenario.name}>
                <th scope="row">
                  {r.scenario.name}
                  {!r.scenario.judged && <span class="chip tone-none">told only</span>}
                  {r.scenario.detail && <span class="evaluation-range">{r.scenario.detail}</span>}
                </th>
                <td class="num">{count(r.scenario.windows)}</td>
                <td class="num">{count(r.scenario.assets)}</td>
                {r.cells.map((c) => (
                  <td key={c.version} class="num">
                    {c.standing && <Mark how={c.standing} />} <b>{c.value}</b>
                    <span class="evaluation-range">{c.range || (c.value === '–' ? 'nothing in it' : 'no interval')}</span>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
          <tbody class="evaluation-costs">
            {costs(t, against).map((r) => (
              <tr key={r.label}>
                <th scope="row" colSpan={3} title={r.title}>
                  {r.label}
                </th>
                {r.cells.map((c) => (
                  <td key={c.version} class="num">
                    {c.times && <span class="muted small">{c.times}</span>} {c.text}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** Mark says better or worse by a sign and a word, and by colour. */
function Mark({ how }: { how: 'better' | 'worse' }) {
  return <span class={`chip tone-${how === 'better' ? 'ok' : 'critical'}`}>{how === 'better' ? '▼ better' : '▲ worse'}</span>;
}

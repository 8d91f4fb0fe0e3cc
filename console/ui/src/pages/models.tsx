// Models: how each pipeline came to its champion, the campaign that goes on with its statistics, and what was decided and why.

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Evaluation } from '../lib/evaluation.ts';
import { ago, bytes, count, duration, percent, stamp } from '../lib/format.ts';
import { ask } from '../lib/letters.ts';
import { digits, reached, stages, told, verdictTone, type Campaign, type Decision, type Gain, type Loop, type Version } from '../lib/loop.ts';
import { link } from '../lib/route.ts';
import { Evaluations } from '../parts/evaluation.tsx';
import { Gate } from '../parts/gate.tsx';
import { now } from '../state/feed.ts';
import { followLoops, loops, loopTurn } from '../state/loops.ts';
import { route } from '../state/route.ts';

// What another replica has decided or compared is not told to this one: it is asked for this often all the same.
const SELDOM = 60_000;

/** useAnswer asks again when the turn changes; it keeps what it has when an answer fails. */
function useAnswer<T>(path: string, turn: unknown): { data?: T; error?: string } {
  const answer = useSignal<{ path: string; data?: T; error?: string }>({ path });
  useEffect(() => {
    const over = new AbortController();
    const look = () =>
      ask<T>(path, undefined, over.signal).then(
        (data) => void (answer.value = { path, data }),
        (e: Error) => {
          if (!over.signal.aborted) answer.value = { ...answer.value, path, error: e.message };
        },
      );
    void look();
    const t = setInterval(look, SELDOM);
    return () => (clearInterval(t), over.abort());
  }, [path, turn]);
  return answer.value.path === path ? answer.value : {};
}

export function ModelsPage() {
  const turn = useSignal(0);
  useEffect(followLoops, []);
  const list = loops.value ?? [];
  const chosen = list.find((l) => l.pipeline === route.value.query.pipeline) ?? list.find((l) => l.campaign) ?? list[0];
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Models</h1>
          <p class="sub">How a model comes to the fleet: trained, judged, tried, promoted, watched, and taken back where it is worse.</p>
        </div>
      </header>
      {loops.value && list.length === 0 && <p class="empty">No pipeline has a model section, so nothing is trained here.</p>}
      {list.length > 1 && (
        <nav class="loop-tabs" aria-label="Pipelines">
          {list.map((l) => (
            <a key={l.pipeline} class={`button ${l === chosen ? 'on' : ''}`} href={link('models', [], { pipeline: l.pipeline })} aria-current={l === chosen ? 'true' : undefined}>
              {l.pipeline}
              {l.campaign && <span class="pulse" title="A campaign goes on" />}
            </a>
          ))}
        </nav>
      )}
      {chosen && <PipelineLoop key={chosen.pipeline} loop={chosen} asked={() => turn.value++} turn={`${turn.value}/${loopTurn.value}`} />}
    </div>
  );
}

function PipelineLoop({ loop, asked, turn }: { loop: Loop; asked: () => void; turn: string }) {
  const said = useSignal('');
  const p = encodeURIComponent(loop.pipeline);
  const decisions = useAnswer<Decision[]>(`/api/v1/decisions?facts=0&limit=300&pipeline=${p}`, turn);
  const versions = useAnswer<Version[]>(`/api/v1/models?pipeline=${p}`, turn);
  const tables = useAnswer<Evaluation[]>(`/api/v1/evaluations?limit=30&pipeline=${p}`, turn);
  const act = (what: string, path: string, body: object) => {
    const why = prompt(`${what}\nWhy? It goes on record.`);
    if (why === null) return;
    ask(path, { ...body, who: 'console', why: why || 'asked on the page' }).then(
      () => ((said.value = `${what}: told.`), asked()),
      (e: Error) => void (said.value = e.message),
    );
  };
  const order = (name: string) => act(`${name} (${loop.pipeline})`, `/api/v1/loop/${p}`, { act: name });
  const c = loop.campaign;
  return (
    <>
      <section class="panel loop">
        <div class="run-head">
          <div>
            <h2>
              {loop.pipeline} {loop.champion ? <code class="small">{loop.champion}</code> : <span class="chip tone-none">no champion yet</span>}
            </h2>
            <p class="muted small">{c ? c.why : loop.reason}</p>
            {loop.alarms.map((a) => (
              <p key={a} class="small">
                <span class="chip tone-watch">alarm</span> {a}
              </p>
            ))}
          </div>
          <div class="loop-acts">
            {c?.asking ? (
              <>
                <button class="button primary" onClick={() => order('approve')}>
                  Approve
                </button>
                <button class="button" onClick={() => order('refuse')}>
                  Refuse
                </button>
              </>
            ) : c ? (
              <button class="button" onClick={() => order('stop')}>
                Stop the campaign
              </button>
            ) : (
              <button class="button" onClick={() => order('start')}>
                Start a campaign
              </button>
            )}
          </div>
        </div>
        <p class="small" aria-live="polite">
          {said.value}
        </p>
        {c?.asking && (
          <p class="loop-asks">
            <span class="chip tone-accent">asks</span> {c.asking}
          </p>
        )}
        {c && <Going campaign={c} />}
      </section>
      <section class="panel">
        <h2 class="panel-title">Versions</h2>
        <div class="scroll-x">
          <table class="table" data-panel="versions">
            <thead>
              <tr>
                <th>Version</th>
                <th>Is</th>
                <th>Network</th>
                <th class="num">Learned from</th>
                <th class="num">CPU</th>
                <th class="num">Size</th>
                <th>Came by</th>
                <th class="num">Added</th>
                <th />
              </tr>
            </thead>
            <tbody>
              {(versions.data ?? []).map((v) => (
                <tr key={v.version}>
                  <td>
                    <code title={`run ${v.lineage.run || '–'}, data ${v.lineage.digest || '–'}`}>{v.version}</code>
                  </td>
                  <td>
                    {v.aliases.map((a) => (
                      <span key={a} class={`chip tone-${a === 'champion' ? 'ok' : 'accent'}`}>
                        {a}
                      </span>
                    ))}
                  </td>
                  <td>{v.network}</td>
                  <td class="num">{v.lineage.windows ? `${count(v.lineage.windows)} windows of ${count(v.lineage.assets)}` : '–'}</td>
                  <td class="num">{v.lineage.cpu_seconds ? duration(v.lineage.cpu_seconds) : '–'}</td>
                  <td class="num">{bytes(v.bytes)}</td>
                  <td class="loop-why">
                    {v.who}: {v.why}
                  </td>
                  <td class="num muted">{ago(Date.parse(v.added), now())}</td>
                  <td>
                    {v.aliases.includes('champion') ? (
                      <button class="quiet" onClick={() => act('Roll back the champion', `/api/v1/models/${p}/rollback`, { alias: 'champion' })}>
                        Roll back
                      </button>
                    ) : (
                      <button class="quiet" onClick={() => act(`Promote ${v.version}`, `/api/v1/models/${p}/moves`, { alias: 'champion', version: v.version })}>
                        Promote
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
      <Evaluations pipeline={loop.pipeline} stored={tables} versions={versions.data} champion={loop.champion} challenger={c?.challenger} done={asked} />
      <section class="panel">
        <h2 class="panel-title">Decisions</h2>
        {decisions.data?.length === 0 && <p class="empty">Nothing was decided yet.</p>}
        <div class="scroll-x">
          <table class="table" data-panel="decisions">
            <thead>
              <tr>
                <th>When</th>
                <th>Stage</th>
                <th>Verdict</th>
                <th>Who</th>
                <th>Challenger</th>
                <th>Why</th>
              </tr>
            </thead>
            <tbody>
              {told(decisions.data ?? []).map((d) => (
                <tr key={d.time + d.stage}>
                  <td class="num muted" title={d.campaign || 'no campaign'}>
                    {stamp(Date.parse(d.time), true)}
                  </td>
                  <td>{d.stage}</td>
                  <td>
                    <span class={`chip tone-${verdictTone(d)}`}>{d.verdict}</span>
                  </td>
                  <td>{d.who}</td>
                  <td>{d.challenger ? <code>{d.challenger}</code> : <span class="faint">–</span>}</td>
                  <td class="loop-why">{d.reason}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
    </>
  );
}

/** Going is the campaign that goes on: where it is, and by which numbers it will go further. */
function Going({ campaign: c }: { campaign: Campaign }) {
  const gain = c.watched ?? c.paired;
  return (
    <>
      <ol class="loop-stages" aria-label="Stages">
        {stages.map((s) => (
          <li key={s} class={`stage-${reached(s, c.stage)}`} aria-current={reached(s, c.stage) === 'now' ? 'step' : undefined}>
            {s}
          </li>
        ))}
      </ol>
      <p class="muted small">
        Challenger {c.challenger ? <code>{c.challenger}</code> : 'is being made'}
        {c.champion && (
          <>
            {' '}
            against <code>{c.champion}</code>
          </>
        )}
        ; at this stage for {duration((now() - c.entered / 1e6) / 1000)}.
        {c.beside && c.beside.windows > 0 && ` It has scored ${count(c.beside.windows)} windows of ${count(c.beside.assets)} assets.`}
      </p>
      {gain && <Sequence gain={gain} watched={!!c.watched} />}
      <Gate campaign={c} />
    </>
  );
}

/** Sequence draws the mean gain and its bounds, which are valid at every look. */
function Sequence({ gain: g, watched }: { gain: Gain; watched: boolean }) {
  const points = g.points ?? [];
  const w = 640;
  const h = 150;
  const x = (i: number) => (points.length < 2 ? w / 2 : (i / (points.length - 1)) * w);
  const y = (v: number) => h / 2 - (Math.max(-1, Math.min(1, v)) * h) / 2;
  const line = (k: 1 | 2 | 3) => points.map((p, i) => `${x(i).toFixed(1)},${y(p[k]).toFixed(1)}`);
  return (
    <figure class="loop-sequence">
      <figcaption class="small">
        Gain of {watched ? 'the new champion over the one before' : 'the challenger'}: <b>{digits(g.mean)}</b>, between <b>{digits(g.low)}</b> and <b>{digits(g.high)}</b> at every look with a chance of{' '}
        {percent(1 - g.alpha)}
        {g.running_low != null && g.running_high != null && `, if the gain stays as it is (of one that wanders the mean so far is between ${digits(g.running_low)} and ${digits(g.running_high)})`}; loss {digits(g.challenger)} against {digits(g.champion)}, by {count(g.assets)} assets and {count(g.windows)} windows.
      </figcaption>
      {points.length > 1 && (
        <svg viewBox={`0 0 ${w} ${h}`} role="img" aria-label={`The gain after ${g.numbers} numbers is between ${digits(g.low)} and ${digits(g.high)}`} preserveAspectRatio="none">
          <polygon class="band" points={[...line(3), ...line(2).reverse()].join(' ')} />
          <line class="zero" x1={0} x2={w} y1={h / 2} y2={h / 2} />
          <polyline class="mean" points={line(1).join(' ')} />
        </svg>
      )}
    </figure>
  );
}

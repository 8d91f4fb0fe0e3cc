// Alerts: what waits for somebody, taken one after the other with the keyboard; one of them whole, with every try to tell of it.

import { batch, useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { chosen, evidence, grouped, isDead, tell, tone, type Act, type Alert, type Show, type Try } from '../lib/alerts.ts';
import { ago, count } from '../lib/format.ts';
import { ask } from '../lib/letters.ts';
import { link } from '../lib/route.ts';
import { alerts, alertsLoaded, keep } from '../state/alerts.ts';
import { now } from '../state/feed.ts';
import { route } from '../state/route.ts';
import { Icon } from '../parts/icons.tsx';
import { Stamp } from '../parts/stamp.tsx';

const views: [Show, string][] = [
  ['open', 'Open'],
  ['mine', 'Looked after'],
  ['resolved', 'Resolved'],
  ['dead', 'Not delivered'],
];

const nothing: Record<Show, string> = {
  open: 'Nothing waits for anybody.',
  mine: 'Nobody looks after an alert, and none is snoozed or silenced.',
  resolved: 'None was resolved lately.',
  dead: 'Every alert reached its receivers, or is still on its way.',
};

const lengths: [number, string][] = [
  [1800, '30 minutes'],
  [3600, '1 hour'],
  [4 * 3600, '4 hours'],
  [24 * 3600, '1 day'],
];

function name(): string {
  try {
    return localStorage.getItem('andon:who') ?? '';
  } catch {
    return '';
  }
}

function setName(who: string): void {
  try {
    localStorage.setItem('andon:who', who);
  } catch {
    // It is asked for again next time.
  }
}

export function AlertsPage() {
  const { state = 'open', id = '' } = route.value.query;
  const show = (views.some(([v]) => v === state) ? state : 'open') as Show;
  const all = alerts.value;
  const list = chosen(all.values(), show);
  const groups = grouped(list);
  const order = groups.flatMap((g) => g.alerts);
  const acting = useSignal<{ id: string; act: Act } | null>(null);
  const fault = useSignal('');
  const body = useRef<HTMLDivElement>(null);
  const focus = (at: number) => {
    const rows = body.current?.querySelectorAll<HTMLElement>('.alert-row') ?? [];
    rows[Math.min(rows.length - 1, Math.max(0, at))]?.focus();
  };
  const here = () => [...(body.current?.querySelectorAll<HTMLElement>('.alert-row') ?? [])].findIndex((r) => r.contains(document.activeElement));
  // What was done leaves the view, and the next one takes its place: it is focused once that is drawn.
  const next = useRef<number | null>(null);
  const done = (at: number) => {
    next.current = at;
    acting.value = null;
  };
  useLayoutEffect(() => {
    if (next.current === null) return;
    focus(next.current);
    next.current = null;
  });
  const act = async (a: Alert, what: Act, said: { who: string; comment?: string; seconds?: number }) => {
    const at = order.findIndex((x) => x.id === a.id);
    fault.value = '';
    try {
      const now = await tell(a.id, what, said);
      batch(() => {
        keep([now]);
        done(at);
      });
    } catch (e) {
      fault.value = `${a.title}: ${(e as Error).message}`;
    }
  };
  useEffect(() => {
    let before = '';
    const press = (e: KeyboardEvent) => {
      const typing = e.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName);
      const led = before === 'g';
      before = e.key;
      if (typing || led || e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
      const at = here();
      if (e.key === 'j' || e.key === 'k') return focus(at < 0 ? 0 : at + (e.key === 'j' ? 1 : -1));
      // By the row itself: what is drawn and what is known may differ for a moment.
      const row = document.activeElement?.closest<HTMLElement>('.alert-row');
      const a = alerts.peek().get(row?.dataset.alert ?? '');
      const what = ({ a: 'ack', s: 'snooze', r: 'resolve' } as Record<string, Act>)[e.key];
      if (!a || !what || a.state !== 'firing') return;
      e.preventDefault();
      acting.value = { id: a.id, act: what };
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
  const one = id ? all.get(id) : undefined;
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Alerts</h1>
          <p class="sub">
            One entry a cause. <kbd>j</kbd> <kbd>k</kbd> to walk, <kbd>a</kbd> to acknowledge, <kbd>s</kbd> to snooze, <kbd>r</kbd> to resolve, <kbd>Enter</kbd> for all about it.
          </p>
        </div>
        <nav class="alert-views" aria-label="Which alerts">
          {views.map(([v, text]) => (
            <a key={v} class={v === show ? 'button on' : 'button'} href={link('alerts', [], { state: v === 'open' ? undefined : v })} aria-current={v === show ? 'true' : undefined}>
              {text} <span class="num muted">{count(chosen(all.values(), v).length)}</span>
            </a>
          ))}
        </nav>
      </header>
      {fault.value && (
        <div class="banner bad" role="alert">
          <strong>That could not be done.</strong> <span>{fault.value}</span>
        </div>
      )}
      <div class={one ? 'alerts with-one' : 'alerts'}>
        <div ref={body} class="alert-groups">
          {groups.length === 0 && <p class="empty">{alertsLoaded.value ? nothing[show] : 'Loading.'}</p>}
          {groups.map((g) => (
            <section class="panel" key={g.name} aria-label={g.name}>
              <h2 class="panel-title">
                {g.name} <span class="num muted">{count(g.alerts.length)}</span>
              </h2>
              <ul class="alert-list">
                {g.alerts.map((a) => (
                  <Row key={a.id} alert={a} open={a.id === id} show={show} acting={acting.value?.id === a.id ? acting.value.act : null} begin={(what) => (acting.value = { id: a.id, act: what })}
                    act={(what, said) => act(a, what, said)} cancel={() => done(order.findIndex((x) => x.id === a.id))} />
                ))}
              </ul>
            </section>
          ))}
        </div>
        {one && <Whole key={one.id} alert={one} show={show} act={(what, said) => act(one, what, said)} />}
      </div>
    </div>
  );
}

interface RowProps {
  alert: Alert;
  open: boolean;
  show: Show;
  acting: Act | null;
  begin: (what: Act) => void;
  act: (what: Act, said: { who: string; comment?: string; seconds?: number }) => void;
  cancel: () => void;
}

function Row({ alert: a, open, show, acting, begin, act, cancel }: RowProps) {
  const where = link('alerts', [], { state: show === 'open' ? undefined : show, id: open ? undefined : a.id });
  const why = evidence(a);
  return (
    <li class={`alert-row ${tone(a.severity)}${open ? ' chosen' : ''}`} tabIndex={0} data-alert={a.id} aria-label={`${a.severity}: ${a.title}`}
      onKeyDown={(e) => e.key === 'Enter' && e.target === e.currentTarget && (location.hash = where.slice(1))}>
      <span class="alert-mark" aria-hidden="true" />
      <div class="alert-main">
        <a class="strong" href={where} aria-expanded={open}>{a.title}</a>
        <p class="small muted alert-facts">
          <span class={`chip ${tone(a.severity)}`}>{a.severity}</span>
          {a.asset && <span>{a.asset}</span>}
          <span class="num">{a.state === 'resolved' ? `over ${ago(Date.parse(a.ended ?? a.changed), now())}` : ago(Date.parse(a.first), now())}</span>
          {a.fired > 1 && <span class="num">{count(a.fired)} times</span>}
          {a.flapping && <span class="chip tone-watch">comes and goes</span>}
          {a.ack && <span class="chip tone-ok" title={a.ack.comment}>{a.ack.who} looks after it</span>}
          {a.snooze && <span class="chip tone-none">snoozed by {a.snooze.who}</span>}
          {a.silenced && <span class="chip tone-none">silenced</span>}
          {isDead(a) && <span class="chip tone-critical">not delivered</span>}
          {why && <a href={why}>evidence</a>}
        </p>
        {acting && <Say act={acting} done={(said) => act(acting, said)} cancel={cancel} />}
      </div>
      {a.state === 'firing' && !acting && (
        <div class="alert-acts">
          {a.ack ? (
            <button class="quiet" onClick={() => act('unack', { who: a.ack!.who })}>Give back</button>
          ) : (
            <button class="button" onClick={() => begin('ack')}>Acknowledge</button>
          )}
          <button class="quiet" onClick={() => begin('snooze')}>Snooze</button>
          <button class="quiet" onClick={() => begin('resolve')}>Resolve</button>
        </div>
      )}
    </li>
  );
}

/** Say asks for a name, once, and a word; Enter does it, Escape leaves it. */
function Say({ act, done, cancel }: { act: Act; done: (said: { who: string; comment: string; seconds?: number }) => void; cancel: () => void }) {
  const who = useSignal(name());
  const asked = useSignal(who.value === '');
  const comment = useSignal('');
  const seconds = useSignal(3600);
  const first = useRef<HTMLInputElement>(null);
  useEffect(() => first.current?.focus(), []);
  const send = (e: Event) => {
    e.preventDefault();
    const w = who.value.trim();
    if (!w) return;
    setName(w);
    done({ who: w, comment: comment.value.trim(), seconds: act === 'snooze' ? seconds.value : undefined });
  };
  const text = { ack: 'Acknowledge', snooze: 'Snooze', resolve: 'Resolve', unack: 'Give back', resend: 'Send again' }[act];
  return (
    <form class="alert-say" onSubmit={send} onKeyDown={(e) => e.key === 'Escape' && (e.stopPropagation(), cancel())}>
      {asked.value && (
        <input ref={first} class="field" aria-label="Your name" placeholder="Your name" required maxLength={100} value={who.value} onInput={(e) => (who.value = e.currentTarget.value)} />
      )}
      {act === 'snooze' && (
        <select class="field" aria-label="For how long" value={seconds.value} onChange={(e) => (seconds.value = Number(e.currentTarget.value))}>
          {lengths.map(([s, t]) => (
            <option key={s} value={s}>{t}</option>
          ))}
        </select>
      )}
      <input ref={asked.value ? undefined : first} class="field grow" aria-label="Comment" placeholder="A word for others" maxLength={500} value={comment.value} onInput={(e) => (comment.value = e.currentTarget.value)} />
      <button class="button primary" type="submit">{text}</button>
      <button class="quiet" type="button" onClick={cancel}>Cancel</button>
    </form>
  );
}

/** Whole shows one alert, with every try to tell of it. */
function Whole({ alert: a, show, act }: { alert: Alert; show: Show; act: (what: Act, said: { who: string }) => void }) {
  const tries = useSignal<Try[] | null>(null);
  const error = useSignal('');
  useEffect(() => {
    const over = new AbortController();
    ask<{ deliveries: Try[] }>(`/api/v1/alerts/${encodeURIComponent(a.id)}`, undefined, over.signal).then(
      (d) => (tries.value = d.deliveries),
      (e: Error) => !over.signal.aborted && (error.value = e.message),
    );
    return () => over.abort();
  }, [a.id, a.changed, JSON.stringify(a.told)]);
  const why = evidence(a);
  const told = Object.entries(a.told ?? {}).sort(([x], [y]) => (x < y ? -1 : 1));
  return (
    <section class="panel alert-whole" aria-label={a.title}>
      <div class="result-head">
        <h2 class="alert-title">{a.title}</h2>
        <a class="quiet" href={link('alerts', [], { state: show === 'open' ? undefined : show })}>Close</a>
      </div>
      <p class="alert-detail">{a.detail}</p>
      {why && (
        <p>
          <a class="button" href={why}><Icon name="search" size={15} /> Look at the evidence</a>
        </p>
      )}
      <dl class="run-facts">
        <Fact name="Began"><Stamp ms={Date.parse(a.since)} precise /></Fact>
        <Fact name="Told"><Stamp ms={Date.parse(a.first)} precise /></Fact>
        {a.ended && a.state === 'resolved' && <Fact name="Over"><Stamp ms={Date.parse(a.ended)} precise /> {a.resolved_by && `by ${a.resolved_by}`}</Fact>}
        {a.ack && <Fact name="Looked after">by {a.ack.who}, {ago(Date.parse(a.ack.at), now())}{a.ack.comment && `: ${a.ack.comment}`}</Fact>}
        {a.snooze && <Fact name="Snoozed">by {a.snooze.who} until <Stamp ms={Date.parse(a.snooze.until ?? '')} /></Fact>}
        <Fact name="ID"><code class="wrap">{a.id}</code></Fact>
        {Object.entries(a.labels ?? {}).map(([k, v]) => (
          <Fact key={k} name={k}><code class="wrap">{v}</code></Fact>
        ))}
      </dl>
      <h3 class="label">Receivers</h3>
      {told.length === 0 && <p class="muted small">Nobody was told yet, or nobody is to be: <code>alerts.receivers</code>.</p>}
      <ul class="alert-told">
        {told.map(([who, t]) => (
          <li key={who}>
            <b>{who}</b> <span class={`chip ${t.state === 'delivered' ? 'tone-ok' : t.state === 'dead' ? 'tone-critical' : 'tone-watch'}`}>{t.state}</span>
            {t.tries > 1 && <span class="small muted num"> after {count(t.tries)} tries</span>}
            {t.error && <span class="small muted"> {t.error}</span>}
          </li>
        ))}
      </ul>
      {isDead(a) && <button class="button" onClick={() => act('resend', { who: name() || 'console' })}><Icon name="again" size={15} /> Send again</button>}
      <h3 class="label">Tries</h3>
      {error.value && <p class="muted small">{error.value}</p>}
      {tries.value?.length === 0 && <p class="muted small">None yet.</p>}
      {(tries.value?.length ?? 0) > 0 && (
        <div class="scroll-x">
          <table class="table tight">
            <thead>
              <tr>
                <th>When</th>
                <th>Receiver</th>
                <th class="num">Try</th>
                <th>Outcome</th>
                <th class="num">Took</th>
                <th>Error</th>
              </tr>
            </thead>
            <tbody>
              {tries.value!.map((t) => (
                <tr key={`${t.notice}/${t.try}/${t.receiver}`}>
                  <td><Stamp ms={Date.parse(t.time)} precise /></td>
                  <td>{t.receiver}</td>
                  <td class="num">{t.try}</td>
                  <td>{t.state}</td>
                  <td class="num">{t.latency_ms.toFixed(1)} ms</td>
                  <td class="muted" title={t.error}><span class="cut">{t.error}</span></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Fact({ name: what, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{what}</dt>
      <dd class="num">{children}</dd>
    </div>
  );
}

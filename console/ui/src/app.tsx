// The frame around the pages: where one is, whether the feed is live, and the keys.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { link } from './lib/route.ts';
import { waiting } from './state/alerts.ts';
import { feedState, reconnect } from './state/feed.ts';
import { outdated, status } from './state/line.ts';
import { route } from './state/route.ts';
import { painted, turnTheme } from './state/theme.ts';
import { runState, runs } from './state/training.ts';
import { Icon, Lantern } from './parts/icons.tsx';
import { LinePage } from './pages/line.tsx';
import { FleetPage } from './pages/fleet.tsx';
import { AssetPage } from './pages/asset.tsx';
import { CamerasPage } from './pages/cameras.tsx';
import { TrainingPage } from './pages/training.tsx';
import { TruthPage } from './pages/truth.tsx';
import { ModelsPage } from './pages/models.tsx';
import { AlertsPage } from './pages/alerts.tsx';
import { DriftPage } from './pages/drift.tsx';
import { LettersPage } from './pages/letters.tsx';
import { SqlPage } from './pages/sql.tsx';

const places = [
  { page: 'line', name: 'Line', key: 'l' },
  { page: 'fleet', name: 'Fleet', key: 'f' },
  { page: 'cameras', name: 'Cameras', key: 'c' },
  { page: 'training', name: 'Training', key: 't' },
  { page: 'truth', name: 'Truth', key: 'y' },
  { page: 'models', name: 'Models', key: 'm' },
  { page: 'alerts', name: 'Alerts', key: 'a' },
  { page: 'drift', name: 'Drift', key: 'r' },
  { page: 'letters', name: 'Letters', key: 'd' },
  { page: 'sql', name: 'SQL', key: 's' },
];

export function App() {
  const help = useRef<HTMLDialogElement>(null);
  useKeys(() => help.current?.showModal());
  const page = route.value.page;
  const shown = page === 'asset' ? 'fleet' : page;
  const title = page === 'asset' ? route.value.parts[1] : places.find((p) => p.page === page)?.name;
  useEffect(() => {
    document.title = title ? `${title} · Andon` : 'Andon';
  }, [title]);
  const busy = runs.value.some((r) => runState(r) === 'running');
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(e) => (e.preventDefault(), document.getElementById('main')?.focus())}>
        To the content
      </a>
      <aside class="side">
        <a class="brand" href={link('line')}>
          <Lantern />
          <span>Andon</span>
        </a>
        <nav aria-label="Pages">
          {places.map((p) => (
            <a key={p.page} href={link(p.page)} aria-current={p.page === shown ? 'page' : undefined}>
              <Icon name={p.page} />
              <span>{p.name}</span>
              {p.page === 'alerts' && waiting.value.length > 0 && <Waiting />}
              {p.page === 'training' && busy && <span class="pulse" title="A model is being trained" />}
            </a>
          ))}
        </nav>
        <div class="side-foot">
          <Connection />
          <div class="side-tools">
            <button class="tool" onClick={turnTheme} aria-label={`Change to the ${painted.value === 'dark' ? 'light' : 'dark'} theme`} title="t">
              <Icon name={painted.value === 'dark' ? 'sun' : 'moon'} size={17} />
            </button>
            <button class="tool" onClick={() => help.current?.showModal()} aria-label="Keys" title="?">
              <Icon name="help" size={17} />
            </button>
            <span class="version faint small">{status.value ? status.value.version : ''}</span>
          </div>
        </div>
      </aside>
      <main id="main" tabIndex={-1}>
        <Page page={page} />
      </main>
      <Keys dialog={help} />
      <Announce />
    </div>
  );
}

/** Waiting counts the alerts that nobody looks after, in the colour of the worst. */
function Waiting() {
  const list = waiting.value;
  const worst = list.some((a) => a.severity === 'critical') ? 'tone-critical' : list.some((a) => a.severity === 'warning') ? 'tone-watch' : 'tone-accent';
  return (
    <span class={`count num ${worst}`}>
      {list.length > 999 ? '999+' : list.length}
      <span class="hidden"> open</span>
    </span>
  );
}

function Page({ page }: { page: string }) {
  switch (page) {
    case 'line':
      return <LinePage />;
    case 'fleet':
      return <FleetPage />;
    case 'asset':
      return <AssetPage />;
    case 'cameras':
      return <CamerasPage />;
    case 'training':
      return <TrainingPage />;
    case 'truth':
      return <TruthPage />;
    case 'models':
      return <ModelsPage />;
    case 'alerts':
      return <AlertsPage />;
    case 'drift':
      return <DriftPage />;
    case 'letters':
      return <LettersPage />;
    case 'sql':
      return <SqlPage />;
  }
  return (
    <p class="empty">
      There is no page “{page}”. <a href={link('line')}>To the line</a>
    </p>
  );
}

/** Connection tells whether what is shown is live, and when the next try is made if not. */
function Connection() {
  const s = feedState.value;
  const clock = useSignal(0);
  const lost = s.kind === 'lost';
  useEffect(() => {
    if (!lost) return;
    const t = setInterval(() => clock.value++, 500);
    return () => clearInterval(t);
  }, [lost]);
  clock.value;
  if (s.kind === 'live') {
    return (
      <p class="connection live">
        <span class="dot" aria-hidden="true" /> Live
        {outdated.value && (
          <button class="quiet" onClick={() => location.reload()}>
            New version: reload
          </button>
        )}
        {status.value?.demo && <span class="chip tone-none" title="The records are a recording, replayed">demo</span>}
      </p>
    );
  }
  if (s.kind === 'connecting') {
    return (
      <p class="connection">
        <span class="dot" aria-hidden="true" /> Connecting
      </p>
    );
  }
  const wait = Math.max(0, Math.ceil((s.retryAt - Date.now()) / 1000));
  return (
    <p class="connection lost">
      <span class="dot" aria-hidden="true" /> Connection lost
      <button class="quiet" onClick={reconnect}>
        {wait > 0 ? `Retry (${wait} s)` : 'Retrying'}
      </button>
    </p>
  );
}

/** Announce tells those who listen what changes of note there are, at most one every ten seconds. */
function Announce() {
  const said = useSignal('');
  const last = useRef({ at: 0, state: 'connecting', training: '' });
  useEffect(() => {
    const t = setInterval(() => {
      const l = last.current;
      if (Date.now() - l.at < 10_000) return;
      const state = feedState.peek().kind;
      const run = runs.peek()[0];
      const training = run ? `${run.pipeline} ${runState(run)}` : '';
      const news = [];
      if (state !== l.state && l.state !== 'connecting') news.push(state === 'live' ? 'The connection is back.' : 'The connection is lost.');
      if (training !== l.training && l.training !== '') news.push(`Training of ${training}.`);
      if (news.length > 0) {
        said.value = news.join(' ');
        l.at = Date.now();
      }
      l.state = state;
      l.training = training;
    }, 1000);
    return () => clearInterval(t);
  }, []);
  return (
    <div class="hidden" aria-live="polite">
      {said.value}
    </div>
  );
}

function Keys({ dialog }: { dialog: preact.RefObject<HTMLDialogElement | null> }) {
  const keys: [string[], string][] = [
    ...places.map((p): [string[], string] => [['g', p.key], `Go to ${p.name}`]),
    [['/'], 'Filter the fleet'],
    [['j', 'k'], 'Next, previous asset or alert'],
    [['a', 's', 'r'], 'Acknowledge, snooze, resolve the alert'],
    [['Enter'], 'Open the asset'],
    [['p'], 'Pause and resume an asset’s charts'],
    [['[', ']'], 'The frame before, the next frame of a camera'],
    [['l', 'b'], 'Label a camera’s frame; boxes on and off'],
    [['Ctrl', 'Enter'], 'Run the query'],
    [['t'], 'Dark or light'],
    [['?'], 'These keys'],
  ];
  return (
    <dialog class="keys" ref={dialog} aria-label="Keys" onClick={(e) => e.target === dialog.current && dialog.current?.close()}>
      <h2>Keys</h2>
      <dl>
        {keys.map(([k, what]) => (
          <div key={what}>
            <dt>
              {k.map((x) => (
                <kbd key={x}>{x}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button class="button">Close</button>
      </form>
    </dialog>
  );
}

/** useKeys listens to single keys, and leaves alone whoever is typing. */
function useKeys(help: () => void): void {
  useEffect(() => {
    let before = '';
    const press = (e: KeyboardEvent) => {
      const typing = e.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName);
      if (e.key === 'Escape' && typing) (e.target as HTMLElement).blur();
      if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
      const place = before === 'g' && places.find((p) => p.key === e.key);
      before = e.key;
      if (place) {
        location.hash = link(place.page).slice(1);
        before = '';
      } else if (e.key === '?') help();
      else if (e.key === 't') turnTheme();
      else if (e.key === 'p') dispatchEvent(new CustomEvent('andon:key', { detail: 'pause' }));
      else if (e.key === '/') {
        const filter = document.getElementById('filter');
        if (!filter) return;
        e.preventDefault();
        filter.focus();
      } else if (e.key === 'j' || e.key === 'k') step(e.key === 'j' ? 1 : -1);
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
}

/** step moves the focus to the next or previous row of the fleet. */
function step(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>('.rows-body .fleet-row')].sort((a, b) => Number(a.ariaRowIndex) - Number(b.ariaRowIndex));
  if (rows.length === 0) return;
  const at = rows.findIndex((r) => r.contains(document.activeElement));
  rows[Math.min(rows.length - 1, Math.max(0, at + by))]?.querySelector('a')?.focus();
}


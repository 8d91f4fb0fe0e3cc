// Cameras: a wall of their newest frames, and each one alone, to step through, label, and draw zones on.

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { at, evidenceURL, labelOf, nothing, rectangle, skips, statusNames, zoneYAML, type Camera, type Eye, type Point, type Sight } from '../lib/cameras.ts';
import { ago, count, stamp } from '../lib/format.ts';
import { ask } from '../lib/letters.ts';
import { link } from '../lib/route.ts';
import { camera, cameras, camerasFault, useCamera, useCameras } from '../state/cameras.ts';
import { now } from '../state/feed.ts';
import { route } from '../state/route.ts';
import { Icon } from '../parts/icons.tsx';
import { Shot } from '../parts/shot.tsx';

export function CamerasPage() {
  const [pipeline, name] = route.value.parts;
  if (pipeline && name) return <One key={route.value.parts.join('/')} pipeline={pipeline} name={name} />;
  return <Wall />;
}

const paces: Record<string, number> = { '1': 1000, '2': 500, '5': 200 };

function Wall() {
  const pace = route.value.query.fps && paces[route.value.query.fps] ? route.value.query.fps : '2';
  useCameras(paces[pace]!);
  const all = cameras.value;
  const list = all?.cameras ?? [];
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Cameras</h1>
          <p class="sub">The newest frame of each, with what was seen in that very frame.</p>
        </div>
        <div class="segments" role="group" aria-label="Pictures a second">
          {Object.keys(paces).map((p) => (
            <a key={p} class={p === pace ? 'button chosen' : 'button'} href={link('cameras', [], { fps: p })} aria-current={p === pace ? 'true' : undefined}>
              {p}/s
            </a>
          ))}
        </div>
      </header>
      {camerasFault.value && <div class="banner bad" role="alert">{camerasFault.value}</div>}
      {all && list.length === 0 && (
        <p class="empty">
          No frame has come since the start. <code>andon camera rtsp://… --camera NAME</code> sends a camera’s, <code>andon replay --video FILE --camera NAME</code> a file’s, to a pipeline with <code>vision</code>.
        </p>
      )}
      <div class="wall">
        {list.map((c) => (
          <article key={`${c.pipeline}/${c.camera}`} class={c.newest?.fired?.length ? 'panel camera fired' : 'panel camera'} data-camera={c.camera}>
            {c.newest ? (
              <a href={link('cameras', [c.pipeline, c.camera])} aria-label={`Open ${c.camera}`}>
                <Shot pipeline={c.pipeline} camera={c.camera} sight={c.newest} eye={at(all!.pipelines[c.pipeline] ?? nothing, c.camera)} />
              </a>
            ) : (
              <p class="empty">No picture yet</p>
            )}
            <div class="camera-foot">
              <a class="strong" href={link('cameras', [c.pipeline, c.camera])}>
                {c.camera}
              </a>
              <span class="muted small">{c.pipeline}</span>
              <span class="num small" title="From the capture to the verdict: median and 99th percentile">
                {c.scored > 0 ? `${c.age_ms.p50.toFixed(0)} / ${c.age_ms.p99.toFixed(0)} ms` : ""}
              </span>
            </div>
          </article>
        ))}
      </div>
      {list.length > 0 && <Counters list={list} />}
    </div>
  );
}

/** Counters is the wall as a table. */
function Counters({ list }: { list: Camera[] }) {
  return (
    <section class="panel">
      <h2 class="panel-title">What became of the frames, since the start</h2>
      <div class="scroll-x">
        <table class="table tight">
          <thead>
            <tr>
              <th>Camera</th>
              <th>Pipeline</th>
              <th class="num">Frames/s</th>
              <th class="num">In</th>
              <th class="num">Scored</th>
              <th class="num" title="A newer frame of the camera was waiting">
                Skipped
              </th>
              <th class="num" title="Older than the pipeline allows when their turn came">
                Stale
              </th>
              <th class="num">Other</th>
              <th class="num" title="Numbers that are missing in the camera's sequence">
                Not sent
              </th>
              <th class="num">Age p50</th>
              <th class="num">p99</th>
              <th class="num">Latency p50</th>
              <th class="num">p99</th>
              <th>Seen now</th>
              <th>Last</th>
            </tr>
          </thead>
          <tbody>
            {list.map((c) => {
              const s = skips(c);
              const why = Object.entries(c.dropped)
                .map(([k, n]) => `${n} ${statusNames[k] ?? k}`)
                .join(', ');
              return (
                <tr key={`${c.pipeline}/${c.camera}`}>
                  <td>
                    <a class="strong" href={link('cameras', [c.pipeline, c.camera])}>
                      {c.camera}
                    </a>
                  </td>
                  <td>{c.pipeline}</td>
                  <td class="num">{c.fps.toFixed(1)}</td>
                  <td class="num">{count(c.frames)}</td>
                  <td class="num">{count(c.scored)}</td>
                  <td class={s.skipped ? 'num tone-watch toned' : 'num'}>{count(s.skipped)}</td>
                  <td class={s.stale ? 'num tone-watch toned' : 'num'}>{count(s.stale)}</td>
                  <td class={s.other ? 'num tone-watch toned' : 'num'} title={why}>
                    {count(s.other)}
                  </td>
                  <td class="num">{count(c.missing)}</td>
                  <td class="num">{c.age_ms.p50.toFixed(0)} ms</td>
                  <td class="num">{c.age_ms.p99.toFixed(0)} ms</td>
                  <td class="num">{c.latency_ms.p50.toFixed(1)} ms</td>
                  <td class="num">{c.latency_ms.p99.toFixed(1)} ms</td>
                  <td>{c.newest ? seen(c.newest) : ''}</td>
                  <td class="num">{ago(Date.parse(c.seen), now())}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function seen(s: Sight): string {
  if (s.boxes.length > 0) return s.boxes.map((b) => b.label).join(', ');
  return s.label || '–';
}

type Mode = 'look' | 'box' | 'zone';

function One({ pipeline, name }: { pipeline: string; name: string }) {
  useCamera(pipeline, name, 400);
  const bare = useSignal(false);
  const mode = useSignal<Mode>('look');
  const points = useSignal<Point[]>([]);
  const zone = useSignal('');
  const said = useSignal('');
  const missed = useSignal(false);
  const c = camera.value;
  const held = route.value.query.frame;
  const shots = c?.shots ?? [];
  // A frame that was chosen is shown until another is, also when it is no longer among the newest.
  const chosen = useSignal<Sight | null>(null);
  const found = held ? (shots.find((s) => s.captured === held) ?? c?.fires?.find((s) => s.captured === held) ?? (chosen.value?.captured === held ? chosen.value : null)) : c?.newest;
  if (found && held && chosen.value?.captured !== held) chosen.value = found;
  const to = (captured: string | undefined) => {
    location.hash = link('cameras', [pipeline, name], { frame: captured }).slice(1);
  };
  const step = (by: number) => {
    const i = held ? shots.findIndex((s) => s.captured === held) : 0;
    const next = shots[Math.min(shots.length - 1, Math.max(0, (i < 0 ? 0 : i) - by))];
    if (next) to(next.captured);
  };
  const eye: Eye = c?.eye ? at(c.eye, name) : nothing;
  const start = (m: Mode) => {
    if (found && !held) to(found.captured); // what is drawn on must hold still
    mode.value = mode.value === m ? 'look' : m;
    points.value = [];
  };
  useEffect(() => {
    const press = (e: KeyboardEvent) => {
      const typing = e.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName);
      if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key === '[') step(-1);
      else if (e.key === ']') step(1);
      else if (e.key === 'l') document.getElementById('frame-label')?.focus();
      else if (e.key === 'b') bare.value = !bare.value;
      else if (e.key === 'Escape') {
        mode.value = 'look';
        points.value = [];
      } else return;
      e.preventDefault();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  });
  if (!c) {
    return (
      <div class="page">
        <Back />
        {camerasFault.value ? <div class="banner bad" role="alert">{camerasFault.value}</div> : <p class="empty">Asking for the camera</p>}
      </div>
    );
  }
  const box = mode.value === 'box' && points.value.length === 2 ? rectangle(points.value[0]!, points.value[1]!) : undefined;
  const drawn: Point[] = box
    ? [
        [box[0], box[1]],
        [box[2], box[1]],
        [box[2], box[3]],
        [box[0], box[3]],
      ]
    : points.value;
  const pick = (p: Point, kind: 'down' | 'move' | 'up') => {
    if (mode.value === 'zone' && kind === 'down') points.value = [...points.value, p];
    if (mode.value === 'box' && kind === 'down') points.value = [p];
    if (mode.value === 'box' && kind !== 'down' && points.value[0]) points.value = [points.value[0], p];
  };
  const tell = async (label: string) => {
    if (!found || !label) return;
    const who = localStorage.getItem('andon-who') || 'console';
    said.value = 'Telling…';
    try {
      await ask('/api/v1/labels', labelOf(pipeline, name, found, label, who, box, missed.value));
      said.value = `Told: ${label}${missed.value && label !== 'missed' ? ', missed by the model,' : ''}${box ? ' in the box' : ''} at ${stamp(Date.parse(found.time), true)}.`;
      points.value = [];
    } catch (e) {
      said.value = `Not told: ${(e as Error).message}`;
    }
  };
  const s = skips(c);
  return (
    <div class="page">
      <Back />
      <header class="page-head">
        <div>
          <h1>{name}</h1>
          <p class="sub">
            {pipeline} · {c.fps.toFixed(1)} frames/s · capture to verdict {c.age_ms.p50.toFixed(0)} ms, p99 {c.age_ms.p99.toFixed(0)} ms · {count(c.scored)} scored, {count(s.skipped)} skipped, {count(s.stale)} stale
          </p>
        </div>
      </header>
      {camerasFault.value && <div class="banner bad" role="alert">{camerasFault.value}</div>}
      <div class="camera-one">
        <section class="panel camera-view">
          {found ? (
            <Shot
              pipeline={pipeline}
              camera={name}
              sight={found}
              eye={eye}
              bare={bare.value}
              drawing={{ drawn, closed: mode.value === 'box' || points.value.length > 2 }}
              pick={mode.value === 'look' ? undefined : pick}
              missing={() => (said.value = 'This frame is no longer at hand, and was not kept.')}
            />
          ) : (
            <p class="empty">{held ? 'This frame is no longer at hand.' : 'No picture yet'}</p>
          )}
          <div class="camera-bar">
            <button class="button" onClick={() => step(-1)} title="[" aria-label="The frame before">
              ‹
            </button>
            <button class="button" onClick={() => step(1)} title="]" aria-label="The next frame">
              ›
            </button>
            <button class={held ? 'button' : 'button chosen'} onClick={() => to(held ? undefined : found?.captured)} aria-pressed={!held}>
              <Icon name={held ? 'play' : 'pause'} size={15} /> {held ? 'Live' : 'Hold'}
            </button>
            <button class="button" onClick={() => (bare.value = !bare.value)} aria-pressed={bare.value} title="b">
              {bare.value ? 'Show boxes' : 'Hide boxes'}
            </button>
            <button class={mode.value === 'zone' ? 'button chosen' : 'button'} onClick={() => start('zone')} aria-pressed={mode.value === 'zone'}>
              Draw a zone
            </button>
            {found && (
              <span class="muted small num">
                {stamp(Date.parse(found.time), true)} · #{found.sequence} · {found.status === 'scored' ? `${found.age_ms.toFixed(0)} ms` : (statusNames[found.status] ?? found.status)}
              </span>
            )}
          </div>
          {mode.value === 'zone' && (
            <div class="camera-zone">
              <p class="muted small">Click the corners on the picture. The feet of whoever is in it count: the middle of a box’s lower edge.</p>
              <label>
                Name <input value={zone.value} onInput={(e) => (zone.value = e.currentTarget.value)} placeholder="zone" />
              </label>
              {points.value.length > 2 && (
                <>
                  <pre class="code">{zoneYAML(zone.value, name, points.value)}</pre>
                  <button class="button" onClick={() => void navigator.clipboard?.writeText(zoneYAML(zone.value, name, points.value))}>
                    <Icon name="copy" size={15} /> Copy for {pipeline}’s vision.zones
                  </button>
                </>
              )}
              <button class="button" onClick={() => (points.value = [])}>
                Begin anew
              </button>
            </div>
          )}
        </section>
        <aside class="panel camera-side">
          <h2 class="panel-title">What is it really?</h2>
          <div class="camera-labels">
            <button class={mode.value === 'box' ? 'button chosen' : 'button'} onClick={() => start('box')} aria-pressed={mode.value === 'box'}>
              {box ? 'Box drawn' : 'Draw a box'}
            </button>
            {(eye.labels ?? []).map((l, i) => (
              <button key={l} id={i === 0 ? 'frame-label' : undefined} class="button" disabled={!found} onClick={() => void tell(l)}>
                {l}
              </button>
            ))}
            <button id={eye.labels?.length ? undefined : 'frame-label'} class="button" disabled={!found} onClick={() => void tell('missed')} title="Something is there that the model did not see">
              Missed
            </button>
          </div>
          {(eye.labels ?? []).length > 0 && (
            <label class="small" title="Learned from at once, five times as heavy as others, and every model to come is examined on it">
              <input type="checkbox" checked={missed.value} onChange={(e) => (missed.value = e.currentTarget.checked)} /> The model missed it
            </label>
          )}
          <p class="muted small" role="status">
            {said.value || 'A label is of this frame, or of the box on it. The frame is kept for training.'}
          </p>
          {found && found.boxes.length > 0 && (
            <table class="table tight">
              <thead>
                <tr>
                  <th>Seen</th>
                  <th class="num">Sure</th>
                  <th class="num">Object</th>
                </tr>
              </thead>
              <tbody>
                {found.boxes.map((b, i) => (
                  <tr key={i}>
                    <td>{b.label}</td>
                    <td class="num">{Math.round(b.score * 100)} %</td>
                    <td class="num">{b.track ? `#${b.track}` : ''}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
          <h2 class="panel-title">Rules</h2>
          {eye.rules.length === 0 && <p class="empty small">None: the pipeline’s vision.rules say when to tell somebody.</p>}
          <ul class="camera-rules">
            {eye.rules.map((r) => (
              <li key={r.name}>
                <span class={`chip tone-${r.severity === 'critical' ? 'critical' : r.severity === 'warning' ? 'watch' : 'none'}`}>{r.severity}</span> <strong>{r.name}</strong>
                <div class="muted small">{r.says}</div>
              </li>
            ))}
          </ul>
          <h2 class="panel-title">Fired lately</h2>
          {(c.fires ?? []).length === 0 && <p class="empty small">Nothing since the start.</p>}
          <ul class="camera-fires">
            {(c.fires ?? []).map((f) => (
              <li key={f.captured}>
                <a href={link('cameras', [pipeline, name], { frame: f.captured })} aria-current={f.captured === held ? 'true' : undefined}>
                  {f.evidence && <img src={evidenceURL(f.evidence)} alt="" width={96} loading="lazy" />}
                  <span>
                    <strong>{f.fired?.join(', ')}</strong>
                    <span class="muted small">
                      {ago(Date.parse(f.time), now())} · {seen(f)} · {f.age_ms.toFixed(0)} ms after the capture
                    </span>
                  </span>
                </a>
              </li>
            ))}
          </ul>
        </aside>
      </div>
    </div>
  );
}

function Back() {
  return (
    <a class="back" href={link('cameras')}>
      <Icon name="back" size={15} /> All cameras
    </a>
  );
}

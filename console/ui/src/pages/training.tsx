// Training runs: the one that goes on as it goes, and those before.

import { useEffect, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import { ago, count, duration, percent, rate, seconds, stamp } from '../lib/format.ts';
import { link } from '../lib/route.ts';
import type { Run } from '../lib/protocol.ts';
import { now } from '../state/feed.ts';
import { route } from '../state/route.ts';
import { progress, remaining, runState, runs, runsLoaded } from '../state/training.ts';
import { Chart, type Draw } from '../parts/chart.tsx';
import { Progress } from '../parts/progress.tsx';

const stateNames = { running: 'Training', waiting: 'Waiting', finished: 'Finished', failed: 'Failed', stopped: 'Stopped' } as const;
const stateTones = { running: 'accent', waiting: 'none', finished: 'ok', failed: 'critical', stopped: 'none' } as const;

export function TrainingPage() {
  const list = runs.value;
  const chosen = list.find((r) => r.run === route.value.parts[0]) ?? list.find((r) => runState(r) === 'running') ?? list[0];
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Training</h1>
          <p class="sub">Models are fitted from what is stored: in this process, or by workers.</p>
        </div>
      </header>
      {!chosen && runsLoaded.value && <p class="empty">No run yet. The first starts when a pipeline has no model and enough rows to learn from.</p>}
      {chosen && <RunDetail key={chosen.run} run={chosen} />}
      {list.length > 0 && (
        <section class="panel">
          <h2 class="panel-title">Runs</h2>
          <div class="scroll-x">
            <table class="table">
              <thead>
                <tr>
                  <th>Run</th>
                  <th>Pipeline</th>
                  <th>State</th>
                  <th>Progress</th>
                  <th class="num">Loss</th>
                  <th class="num">Validation</th>
                  <th class="num">Windows</th>
                  <th class="num">Took</th>
                  <th>Model</th>
                  <th class="num">Started</th>
                </tr>
              </thead>
              <tbody>
                {list.map((r) => (
                  <RunRow key={r.run} run={r} chosen={r.run === chosen?.run} />
                ))}
              </tbody>
            </table>
          </div>
        </section>
      )}
    </div>
  );
}

function RunRow({ run, chosen }: { run: Run; chosen: boolean }) {
  const state = runState(run);
  const best = bestEpoch(run);
  return (
    <tr class={chosen ? 'chosen' : ''}>
      <td>
        <a class="strong cut" title={run.run} href={link('training', [run.run])} aria-current={chosen ? 'true' : undefined}>
          <code>{run.run}</code>
        </a>
      </td>
      <td>{run.pipeline}</td>
      <td>
        <span class={`chip tone-${stateTones[state]}`}>{stateNames[state]}</span>
      </td>
      <td class="progress-cell">
        <Progress share={state === 'finished' ? 1 : progress(run)} label={`Progress of ${run.run}`} />
        <span class="num small muted">
          {run.epoch}/{run.epochs}
        </span>
      </td>
      <td class="num">{loss(run.losses.at(-1)?.loss)}</td>
      <td class="num">{loss(best?.val_loss)}</td>
      <td class="num">{count(run.rows)}</td>
      <td class="num">{duration(run.elapsed)}</td>
      <td>{run.version ? <code>{run.version}</code> : <span class="faint">–</span>}</td>
      <td class="num muted">{ago(run.started, now())}</td>
    </tr>
  );
}

function RunDetail({ run }: { run: Run }) {
  const state = runState(run);
  const left = remaining(run);
  const best = bestEpoch(run);
  const draw = useRef<Draw | null>(null);
  const show = () => {
    const x = run.losses.map((e) => e.epoch);
    const data = [x, run.losses.map((e) => e.loss), run.losses.map((e) => e.val_loss)] as uPlot.AlignedData;
    draw.current?.(data, 1, Math.max(run.epochs, x.at(-1) ?? 0, 2));
  };
  const latest = useRef(show);
  latest.current = show;
  useEffect(show, [run]);
  return (
    <section class="panel run" data-run={run.run}>
      <div class="run-head">
        <div>
          <h2>
            {run.pipeline} <span class={`chip tone-${stateTones[state]}`}>{stateNames[state]}</span>
          </h2>
          <p class="muted small">
            Run <code>{run.run}</code>, started {stamp(run.started, true)} UTC{run.detail ? `. ${run.detail}` : ''}
          </p>
        </div>
        {run.version && (
          <p class="run-model">
            <span class="muted small">Model</span> <code>{run.version}</code>
          </p>
        )}
      </div>
      <div class="run-progress">
        <Progress share={state === 'finished' ? 1 : progress(run)} label={`Training of ${run.pipeline}`} />
        <span class="num">{percent(state === 'finished' ? 1 : progress(run))}</span>
      </div>
      <div class="run-body">
        <figure class="chart-card flat">
          <figcaption>
            <span class="chart-title">Loss by epoch</span>
            <span class="legend">
              <i class="key train" /> training <i class="key val" /> validation
            </span>
          </figcaption>
          <Chart label={`Training and validation loss of ${run.run} by epoch`} height={260} time={false} log
            lines={[{ name: 'loss', color: '--accent' }, { name: 'validation', color: '--second', points: run.losses.length < 60 }]}
            handle={(f) => {
              draw.current = f;
              if (f) latest.current();
            }} />
        </figure>
        <dl class="run-facts">
          <Fact name="Epoch" value={`${run.epoch} of ${run.epochs || '–'}`} />
          <Fact name="Speed" value={`${rate(run.rate)} windows/s`} />
          <Fact name="Training windows" value={count(run.rows)} />
          <Fact name={state === 'running' ? 'Time left' : 'Took'} value={state === 'running' ? (left === null ? '–' : `about ${duration(Math.max(1, left))}`) : duration(run.elapsed)} />
          <Fact name="Training loss" value={loss(run.losses.at(-1)?.loss)} />
          <Fact name="Trained by" value={run.worker ?? 'this appliance'} />
          <Fact name="CPU time" value={seconds(run.cpu_seconds)} />
          <Fact name="GPU time" value={run.gpu_seconds == null ? 'not measured' : seconds(run.gpu_seconds)} />
          <Fact name="Energy" value={run.joules == null ? 'not measured' : `${energy(run.joules)} (${run.energy})`} />
          <Fact name="Best validation" value={best ? `${loss(best.val_loss)} at epoch ${best.epoch}` : '–'} />
        </dl>
      </div>
    </section>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class="num">{value}</dd>
    </div>
  );
}

function energy(joules: number): string {
  return joules < 3600 ? `${joules.toPrecision(3)} J` : `${(joules / 3600).toPrecision(3)} Wh`;
}

function loss(v: number | null | undefined): string {
  return v == null ? '–' : v >= 100 ? v.toFixed(1) : v.toPrecision(3);
}

function bestEpoch(run: Run) {
  let best: Run['losses'][number] | undefined;
  for (const e of run.losses) if (e.val_loss !== null && (best?.val_loss == null || e.val_loss < best.val_loss)) best = e;
  return best;
}

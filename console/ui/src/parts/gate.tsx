// By which numbers the gate decided: the candidates of the campaign, and how the one that goes on did in each slice.

import { count } from '../lib/format.ts';
import { digits, type Campaign } from '../lib/loop.ts';

/** Gate shows nothing before the gate has spoken. */
export function Gate({ campaign: c }: { campaign: Campaign }) {
  const findings = c.gate?.findings ?? [];
  const classes = findings.some((f) => f.mcnemar != null);
  const candidates = c.candidates ?? [];
  if (!c.gate) return null;
  return (
    <>
      {candidates.length > 1 && (
        <div class="scroll-x" tabIndex={0} role="region" aria-label="The campaign’s candidates">
          <table class="table" data-panel="candidates">
            <caption class="small muted">{candidates.length} candidates were trained and judged together; the chance that any passes which is no better is that of one.</caption>
            <thead>
              <tr>
                <th scope="col">Candidate</th>
                <th scope="col">Gate</th>
                <th scope="col" class="num">Gain</th>
                <th scope="col" class="num">P of not better</th>
                <th scope="col" class="num">Compute</th>
                <th scope="col">Why</th>
              </tr>
            </thead>
            <tbody>
              {candidates.map((o) => (
                <tr key={o.version}>
                  <td>
                    <code>{o.version}</code>
                    {o.version === c.challenger && <span class="chip tone-accent">goes on</span>}
                  </td>
                  <td>
                    <span class={`chip tone-${o.passed ? 'ok' : 'watch'}`}>{o.passed ? 'passed' : 'not passed'}</span>
                  </td>
                  <td class="num">{digits(o.overall?.gain)}</td>
                  <td class="num">{digits(o.overall?.better)}</td>
                  <td class="num">{o.cost ? `${digits(o.cost)}×` : '–'}</td>
                  <td class="loop-why">{o.reason}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {!!c.gate.golden && (
        <p class="small muted" data-panel="golden">
          Of {count(c.gate.golden)} golden cases {c.gate.lost?.length ? `${c.gate.lost.length} that the champion has right are lost: ${c.gate.lost.join(', ')}` : 'none that the champion has right is lost'}.
        </p>
      )}
      {findings.length > 0 && (
        <div class="scroll-x" tabIndex={0} role="region" aria-label="The gate’s slices">
          <table class="table" data-panel="gate">
            <caption class="small muted">The gate: {c.gate.reason}</caption>
            <thead>
              <tr>
                <th>Slice</th>
                <th class="num">Windows</th>
                <th class="num">Assets</th>
                <th class="num">Champion’s loss</th>
                <th class="num">Challenger’s</th>
                <th class="num">Gain</th>
                <th class="num">Interval</th>
                <th class="num">P of not better</th>
                <th class="num">P of not worse</th>
                {classes && <th class="num">Only one right</th>}
                {classes && <th class="num">McNemar’s P</th>}
              </tr>
            </thead>
            <tbody>
              {findings.map((f) => (
                <tr key={f.slice}>
                  <td>{f.slice}</td>
                  <td class="num">{count(f.windows)}</td>
                  <td class="num">{count(f.assets)}</td>
                  <td class="num">{digits(f.champion)}</td>
                  <td class="num">{digits(f.challenger)}</td>
                  <td class="num">{digits(f.gain)}</td>
                  <td class="num">
                    {digits(f.low)} to {digits(f.high)}
                  </td>
                  <td class="num">{digits(f.better)}</td>
                  <td class="num">{digits(f.worse)}</td>
                  {classes && (
                    <td class="num" title="Windows that only the champion has right, and only the challenger">
                      {count(f.only_champion ?? 0)} : {count(f.only_challenger ?? 0)}
                    </td>
                  )}
                  {classes && <td class="num">{digits(f.mcnemar)}</td>}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

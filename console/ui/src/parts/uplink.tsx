// How records get to the central cluster: whether it is reached, what waits, and what was lost.

import { count, duration } from '../lib/format.ts';
import type { Uplink as View } from '../lib/protocol.ts';
import { now } from '../state/feed.ts';

const words: Record<View['state'], string> = { starting: 'starting', up: 'reached', away: 'away', refused: 'refuses this site' };

/** Uplink is one line, where there is an uplink. */
export function Uplink({ view }: { view: View | undefined }) {
  if (!view) return null;
  const since = Math.max(0, (now() - Date.parse(view.since)) / 1000);
  return (
    <section class="panel" data-panel="uplink" data-state={view.state}>
      <h2 class="panel-title">Uplink</h2>
      <div class="scroll-x">
        <table class="table">
          <thead>
            <tr>
              <th>Site</th>
              <th>Central cluster</th>
              <th>State</th>
              <th class="num">For</th>
              <th class="num">Waiting</th>
              <th class="num">Gone up</th>
              <th class="num">Lost</th>
            </tr>
          </thead>
          <tbody>
            <tr>
              <td>{view.site}</td>
              <td>{view.brokers}</td>
              <td>
                {words[view.state]}
                {view.error && <span class="muted"> {view.error}</span>}
              </td>
              <td class="num">{duration(since)}</td>
              <td class="num">{count(view.waiting)}</td>
              <td class="num">{count(view.records)}</td>
              <td class="num">{count(view.lost)}</td>
            </tr>
          </tbody>
        </table>
      </div>
    </section>
  );
}

// The accelerators of the machine: how busy, how warm, what they draw, and whether they are held back.

import { bytes, count, percent } from '../lib/format.ts';
import type { Device } from '../lib/protocol.ts';
import { latest } from '../state/line.ts';
import { Progress } from './progress.tsx';

const why: Record<string, string> = {
  power_cap: 'power limit',
  hardware: 'hardware slowdown',
  sync_boost: 'sync boost',
  thermal: 'temperature',
  hardware_thermal: 'temperature, by hardware',
  power_brake: 'power brake',
};

/** Devices lists them, where there are any. */
export function Devices({ list }: { list: Device[] }) {
  if (list.length === 0) return null;
  const energy = latest(null, 'energy');
  return (
    <section class="panel" data-panel="devices">
      <h2 class="panel-title">
        Accelerators
        {energy !== null && <span class="muted num"> {energy < 10 ? energy.toFixed(2) : count(energy)} J for 1,000 scores</span>}
      </h2>
      <div class="scroll-x">
        <table class="table">
          <thead>
            <tr>
              <th>Device</th>
              <th>Busy</th>
              <th class="num">Memory</th>
              <th class="num">Power</th>
              <th class="num">Temperature</th>
              <th>Held back by</th>
            </tr>
          </thead>
          <tbody>
            {list.map((d) => (
              <tr key={d.index}>
                <td>
                  {d.index}: {d.name || 'NVIDIA device'}
                </td>
                {d.fault ? (
                  <td colSpan={5}>{d.fault}</td>
                ) : (
                  <>
                    <td>
                      <div class="device-busy">
                        <Progress share={Math.max(d.utilization, 0)} label={`Utilization of device ${d.index}`} />
                        <span class="num">{d.utilization < 0 ? '–' : percent(d.utilization)}</span>
                      </div>
                    </td>
                    <td class="num">{d.memory_total < 0 ? '–' : `${bytes(d.memory_used)} of ${bytes(d.memory_total)}`}</td>
                    <td class="num">{d.power < 0 ? '–' : `${Math.round(d.power)} W`}</td>
                    <td class="num">{d.temperature < 0 ? '–' : `${Math.round(d.temperature)} °C`}</td>
                    <td>{d.throttled.length === 0 ? <span class="muted">nothing</span> : d.throttled.map((r) => why[r] ?? r).join(', ')}</td>
                  </>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

import { status } from '../state/line.ts';

export type Tone = 'ok' | 'watch' | 'critical' | 'none';

/** tone sorts a risk by the thresholds of the configuration. */
export function tone(risk: number | null): Tone {
  if (risk === null) return 'none';
  const s = status.value;
  if (risk >= (s?.risk_critical ?? 0.8)) return 'critical';
  return risk >= (s?.risk_watch ?? 0.5) ? 'watch' : 'ok';
}

export const toneNames: Record<Tone, string> = { ok: 'Healthy', watch: 'Watch', critical: 'Critical', none: 'Not scored' };

export function RiskBar({ risk }: { risk: number | null }) {
  return (
    <span class={`risk tone-${tone(risk)}`}>
      <span class="risk-track" aria-hidden="true">
        <span class="risk-fill" style={{ transform: `scaleX(${risk ?? 0})` }} />
      </span>
      <span class="risk-number num">{risk === null ? '–' : risk.toFixed(2)}</span>
    </span>
  );
}

export function ToneChip({ risk }: { risk: number | null }) {
  const t = tone(risk);
  return <span class={`chip tone-${t}`}>{toneNames[t]}</span>;
}

/** Spark draws the course of a number: a line with a soft ground, from `low` (0 unless told) to the highest that is seen. */
export function Spark({
  values,
  width = 120,
  height = 28,
  low = 0,
  high,
  tone = 'accent',
  label,
}: {
  values: (number | null)[];
  width?: number;
  height?: number;
  low?: number;
  high?: number;
  tone?: string;
  label: string;
}) {
  const top = high ?? Math.max(...values.map((v) => v ?? 0), low + 1e-9) * 1.08;
  const n = values.length;
  let line = '';
  let started = -1;
  let end = -1;
  for (let i = 0; i < n; i++) {
    const v = values[i];
    if (v == null) continue;
    const x = n > 1 ? (i / (n - 1)) * 100 : 0;
    const y = height - 1.5 - ((v - low) / (top - low)) * (height - 3);
    line += `${started < 0 ? 'M' : 'L'}${x.toFixed(2)} ${y.toFixed(2)}`;
    if (started < 0) started = x;
    end = x;
  }
  return (
    <svg class={`spark tone-${tone}`} viewBox={`0 0 100 ${height}`} preserveAspectRatio="none" style={{ width: width ? `${width}px` : '100%', height: `${height}px` }} role="img" aria-label={label}>
      {end > started && <path class="spark-ground" d={`${line}L${end.toFixed(2)} ${height}L${started.toFixed(2)} ${height}Z`} />}
      {line && <path class="spark-line" d={line} />}
    </svg>
  );
}

/** Progress is a bar with its share in text for those who cannot see it. */
export function Progress({ share, label }: { share: number; label: string }) {
  const whole = Math.round(share * 100);
  return (
    <div class="progress" role="progressbar" aria-label={label} aria-valuenow={whole} aria-valuemin={0} aria-valuemax={100}>
      <div style={{ transform: `scaleX(${Math.max(share, 0.004)})` }} />
    </div>
  );
}

import { stamp } from '../lib/format.ts';

/** Stamp shows an instant in UTC. Tabular hyphens are as wide as digits, which tears a date apart: they are drawn closer. */
export function Stamp({ ms, precise }: { ms: number | null | undefined; precise?: boolean }) {
  return (
    <time class="stamp num">
      {stamp(ms, precise)
        .split('-')
        .map((part, i) => (i === 0 ? part : [<i key={i}>-</i>, part]))}
    </time>
  );
}

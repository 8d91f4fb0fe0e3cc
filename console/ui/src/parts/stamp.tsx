import { stamp } from '../lib/format.ts';

/** Hyphens writes a date: tabular hyphens are as wide as digits, which tears it apart, so they are drawn closer. */
export function Hyphens({ text }: { text: string }) {
  return (
    <time class="stamp num">{text.split('-').map((part, i) => (i === 0 ? part : [<i key={i}>-</i>, part]))}</time>
  );
}

/** Stamp shows an instant in UTC. */
export function Stamp({ ms, precise }: { ms: number | null | undefined; precise?: boolean }) {
  return <Hyphens text={stamp(ms, precise)} />;
}

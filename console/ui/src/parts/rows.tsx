// A long list of equal rows of which only those in sight are in the document.

import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

const OVERSCAN = 8;

/** Rows draws `count` rows of `height` pixels in its own scroll area. */
export function Rows({
  count,
  height,
  row,
  head,
  label,
  columns,
  onPoint,
}: {
  count: number;
  height: number;
  row: (index: number, top: number) => ComponentChildren;
  head: ComponentChildren;
  label: string;
  columns: number;
  onPoint?: (inside: boolean) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  useLayoutEffect(() => {
    const b = box.current!;
    const measure = () => setView((v) => (v.top === b.scrollTop && v.height === b.clientHeight ? v : { top: b.scrollTop, height: b.clientHeight }));
    measure();
    const resize = new ResizeObserver(measure);
    resize.observe(b);
    b.addEventListener('scroll', measure, { passive: true });
    return () => {
      resize.disconnect();
      b.removeEventListener('scroll', measure);
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / height) - OVERSCAN);
  const last = Math.min(count, Math.ceil((view.top + view.height) / height) + OVERSCAN);
  const visible: ComponentChildren[] = [];
  for (let i = first; i < last; i++) visible.push(row(i, i * height));
  return (
    <div class="rows" ref={box} role="table" aria-label={label} aria-rowcount={count + 1} aria-colcount={columns} tabIndex={0}>
      <div class="rows-head" role="rowgroup">
        {head}
      </div>
      <div class="rows-body" role="rowgroup" style={{ height: `${count * height}px` }} onPointerEnter={() => onPoint?.(true)} onPointerLeave={() => onPoint?.(false)}>
        {visible}
      </div>
    </div>
  );
}

// A frame with what was seen in it, drawn together once both are there: a picture never has another's boxes.

import { useEffect, useRef } from 'preact/hooks';
import type { Eye, Point, Sight } from '../lib/cameras.ts';
import { frameURL } from '../lib/cameras.ts';
import { painted } from '../state/theme.ts';

export interface Drawing {
  /** drawn is a polygon or a box under the hand, of the frame. */
  drawn?: Point[];
  closed?: boolean;
}

/** Shot draws one frame. It keeps the last picture until the next is whole; what is still loading when a newer one comes is given up. */
export function Shot(props: { pipeline: string; camera: string; sight: Sight; eye: Eye; drawing?: Drawing; bare?: boolean; pick?: (at: Point, kind: 'down' | 'move' | 'up') => void; missing?: () => void }) {
  const { pipeline, camera, sight, eye, drawing, bare, pick } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const held = useRef<{ captured: string; image: HTMLImageElement; sight: Sight } | null>(null);
  const latest = useRef({ eye, drawing, bare });
  latest.current = { eye, drawing, bare };
  const paint = () => {
    const c = canvas.current;
    const h = held.current;
    if (c && h) draw(c, h.image, h.sight, latest.current);
  };
  useEffect(() => {
    const image = new Image();
    image.onload = () => {
      held.current = { captured: sight.captured, image, sight };
      paint();
    };
    image.onerror = () => props.missing?.();
    image.src = frameURL(pipeline, camera, sight.captured);
    return () => {
      image.onload = image.onerror = null;
    };
  }, [pipeline, camera, sight.captured]);
  useEffect(paint, [eye, drawing, bare, painted.value]);
  useEffect(() => {
    const see = new ResizeObserver(paint);
    see.observe(canvas.current!);
    return () => see.disconnect();
  }, []);
  const place = (e: PointerEvent): Point => {
    const r = canvas.current!.getBoundingClientRect();
    return [(e.clientX - r.left) / r.width, (e.clientY - r.top) / r.height];
  };
  return (
    <canvas
      ref={canvas}
      class={pick ? 'shot drawable' : 'shot'}
      style={{ aspectRatio: `${sight.width} / ${sight.height}` }}
      role="img"
      aria-label={describe(camera, sight)}
      data-captured={sight.captured}
      onPointerDown={pick && ((e) => (canvas.current!.setPointerCapture(e.pointerId), pick(place(e), 'down')))}
      onPointerMove={pick && ((e) => e.buttons === 1 && pick(place(e), 'move'))}
      onPointerUp={pick && ((e) => pick(place(e), 'up'))}
    />
  );
}

/** describe is the picture for those who do not see it. */
export function describe(camera: string, s: Sight): string {
  const seen = s.boxes.length > 0 ? s.boxes.map((b) => b.label).join(', ') : (s.label ?? 'nothing');
  return `${camera}: ${seen}${s.zones?.length ? `, in ${s.zones.join(', ')}` : ''}${s.fired?.length ? `; fired: ${s.fired.join(', ')}` : ''}`;
}

function draw(c: HTMLCanvasElement, image: HTMLImageElement, s: Sight, over: { eye: Eye; drawing?: Drawing; bare?: boolean }): void {
  const scale = Math.min(devicePixelRatio || 1, 2);
  const w = Math.max(1, Math.round(c.clientWidth * scale));
  const h = Math.max(1, Math.round((c.clientWidth * scale * s.height) / s.width));
  if (c.width !== w || c.height !== h) {
    c.width = w;
    c.height = h;
  }
  const g = c.getContext('2d')!;
  g.drawImage(image, 0, 0, w, h);
  c.dataset.drawn = s.captured;
  const style = getComputedStyle(c);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const line = Math.max(1.5, w / 400);
  const path = (points: Point[], closed: boolean) => {
    g.beginPath();
    points.forEach(([x, y], i) => (i === 0 ? g.moveTo(x * w, y * h) : g.lineTo(x * w, y * h)));
    if (closed) g.closePath();
  };
  const text = (words: string, x: number, y: number, fill: string) => {
    g.font = `600 ${Math.max(11 * scale, w / 55)}px ${style.getPropertyValue('--sans') || 'sans-serif'}`;
    const m = g.measureText(words);
    const high = Math.max(11 * scale, w / 55) * 1.35;
    x = Math.min(Math.max(0, x), w - m.width - 8);
    y = Math.max(high, Math.min(h, y));
    g.fillStyle = fill;
    g.fillRect(x, y - high, m.width + 8, high);
    g.fillStyle = '#fff';
    g.fillText(words, x + 4, y - high * 0.27);
  };
  if (!over.bare) {
    g.lineWidth = line;
    for (const z of over.eye.zones) {
      const held = s.zones?.includes(z.name);
      g.strokeStyle = held ? '#f1b547' : '#ffffffb0';
      g.setLineDash(held ? [] : [line * 4, line * 3]);
      path(z.polygon, true);
      if (held) {
        g.fillStyle = '#f1b54730';
        g.fill();
      }
      g.stroke();
      text(z.name, z.polygon[0]![0] * w, z.polygon[0]![1] * h, held ? '#8a5700' : '#161b24b0');
    }
    g.setLineDash([]);
    for (const l of over.eye.lines) {
      g.strokeStyle = '#68a5ff';
      path([l.from, l.to], false);
      g.stroke();
      text(l.name, l.from[0] * w, l.from[1] * h, '#2159c9');
    }
    for (const b of s.boxes) {
      const [x0, y0, x1, y1] = b.box;
      g.lineWidth = line * 1.4;
      g.strokeStyle = s.fired?.length ? '#ff5a50' : '#3fc796';
      g.strokeRect(x0 * w, y0 * h, (x1 - x0) * w, (y1 - y0) * h);
      text(`${b.label} ${Math.round(b.score * 100)}${b.track ? ` #${b.track}` : ''}`, x0 * w, y0 * h, s.fired?.length ? '#b92622' : '#0d6b4c');
    }
    if (s.boxes.length === 0 && s.label) text(`${s.label} ${Math.round(s.risk * 100)} %`, 0, h, '#161b24c0');
  }
  const d = over.drawing?.drawn;
  if (d && d.length > 0) {
    g.lineWidth = line * 1.6;
    g.strokeStyle = colour('--lantern') || '#e39a15';
    path(d, over.drawing?.closed ?? false);
    g.stroke();
    g.fillStyle = g.strokeStyle;
    for (const [x, y] of d) g.fillRect(x * w - 3 * scale, y * h - 3 * scale, 6 * scale, 6 * scale);
  }
}

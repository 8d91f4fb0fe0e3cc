// uPlot in a card. The page hands over columns and the span of time; nothing here holds points.

import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { steadyRange, ticks } from '../lib/windows.ts';
import { painted } from '../state/theme.ts';

export interface Line {
  name: string;
  /** a colour of the theme, as --accent. */
  color: string;
  /** where given, the line is coloured by height: from the first colour below the first threshold to the last above the last. */
  byHeight?: { at: number; color: string }[];
  fill?: boolean;
  points?: boolean;
  dash?: number[];
}

export interface Mark {
  at: number;
  color: string;
  label: string;
}

export interface ChartProps {
  label: string;
  lines: Line[];
  height: number;
  /** charts with the same key share their cursor. */
  sync?: string;
  /** the range of the vertical axis; where it is not given it follows the points, calmly. */
  range?: [number, number];
  marks?: Mark[];
  /** the vertical axis begins at zero. */
  fromZero?: boolean;
  /** how the values of the vertical axis are written; plain numbers where it is not given. */
  format?: (v: number) => string;
  /** the vertical axis is logarithmic. */
  log?: boolean;
  /** x is time in milliseconds, or a plain number such as an epoch. */
  time?: boolean;
  onCursor?: (index: number | null, x: number | null) => void;
  onSelect?: (from: number, to: number) => void;
  handle: (draw: Draw | null) => void;
}

/** Draw shows columns between two values of x. */
export type Draw = (data: uPlot.AlignedData, from: number, to: number) => void;

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const skin = painted.value;
  const shape = props.lines.map((l) => l.name).join('|');

  useEffect(() => {
    const element = box.current!;
    const p = latest.current;
    let held: [number, number] | null = null;
    let from = 0;
    let to = 1;
    let data: uPlot.AlignedData = [[], ...p.lines.map(() => [])];
    const muted = css('--muted');
    const grid = { stroke: css('--grid'), width: 1 };
    const axis = { stroke: muted, grid, ticks: { show: false }, font: `11px ${css('--sans')}`, gap: 6 };

    const range = (_: uPlot, low: number | null, high: number | null): [number, number] => {
      if (p.range) return p.range;
      if (p.log) return low && high ? [low * 0.8, high * 1.25] : [0.1, 1];
      let a = low ?? Infinity;
      let b = high ?? -Infinity;
      // A threshold beside the points is worth seeing; far from them it would flatten them.
      for (const m of latest.current.marks ?? []) {
        if (m.at > b && m.at < b + 0.25 * (b - a)) b = m.at;
        if (m.at < a && m.at > a - 0.25 * (b - a)) a = m.at;
      }
      if (p.fromZero) {
        a = 0;
        b = b || 1; // all zero: an axis of its own, not one of millionths
      }
      held = steadyRange(held, a, b);
      return p.fromZero ? [0, held[1]] : held;
    };

    const options: uPlot.Options = {
      width: Math.max(element.clientWidth, 50),
      height: p.height,
      ms: 1,
      tzDate: (ms) => uPlot.tzDate(new Date(ms), 'Etc/UTC'),
      legend: { show: false },
      // The names of thresholds stand beside the plot, where no line crosses them.
      padding: [8, p.marks?.length ? 58 : 10, 0, 0],
      cursor: {
        y: false,
        points: { size: 7, width: 1.5, fill: () => css('--panel') },
        drag: { x: !!p.onSelect, y: false, setScale: false },
        ...(p.sync ? { sync: { key: p.sync, scales: ['x', null] as [string, null] } } : {}),
      },
      select: { show: !!p.onSelect, left: 0, top: 0, width: 0, height: 0 },
      scales: { x: { time: p.time ?? true, range: () => [from, to] }, y: p.log ? { range, distr: 3 } : { range } },
      axes: [
        { ...axis, space: 70, size: 26, ...(p.time === false ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] } : { values: timeLabels }) },
        { ...axis, space: 26, size: 52, values: (_, list) => (p.log ? list.map((v) => (v == null ? '' : String(Number(v.toPrecision(3))))) : p.format ? list.map(p.format) : ticks(list)) },
      ],
      series: [
        {},
        ...p.lines.map((l): uPlot.Series => {
          const color = css(l.color);
          return {
            stroke: l.byHeight ? (u) => byHeight(u, l.byHeight!) ?? color : color,
            width: 1.6,
            points: { show: !!l.points, size: 4 },
            spanGaps: true,
            ...(l.dash ? { dash: l.dash } : {}),
            ...(l.fill ? { fill: css(`${l.color}-soft`) } : {}),
          };
        }),
      ],
      hooks: {
        drawAxes: [(u) => drawMarks(u, latest.current.marks ?? [])],
        setCursor: [(u) => latest.current.onCursor?.(u.cursor.idx ?? null, u.cursor.idx == null ? null : (u.data[0][u.cursor.idx] ?? null))],
        setSelect: [
          (u) => {
            if (u.select.width < 6) return;
            const a = u.posToVal(u.select.left, 'x');
            const b = u.posToVal(u.select.left + u.select.width, 'x');
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            latest.current.onSelect?.(a, b);
          },
        ],
      },
    };
    const plot = new uPlot(options, data, element);
    const resize = new ResizeObserver(() => {
      if (element.clientWidth > 0 && element.clientWidth !== plot.width) plot.setSize({ width: element.clientWidth, height: p.height });
    });
    resize.observe(element);
    latest.current.handle((fresh, a, b) => {
      data = fresh;
      from = a;
      to = b;
      // Both scales are found anew: that of x is what was given.
      plot.setData(data);
    });
    return () => {
      latest.current.handle(null);
      resize.disconnect();
      plot.destroy();
    };
    // A new theme, shape or height is a new plot.
  }, [skin, shape, props.height, props.sync]);

  return <div class="chart" ref={box} role="img" aria-label={props.label} style={{ minHeight: `${props.height}px` }} />;
}

/** byHeight makes a vertical gradient with a hard change at each threshold, in the plot's own pixels. */
function byHeight(u: uPlot, stops: { at: number; color: string }[]): CanvasGradient | null {
  const top = u.bbox.top;
  const bottom = u.bbox.top + u.bbox.height;
  if (!(bottom > top)) return null;
  const g = u.ctx.createLinearGradient(0, bottom, 0, top);
  let color = css(stops[0]!.color);
  g.addColorStop(0, color);
  for (const s of stops.slice(1)) {
    const share = Math.min(1, Math.max(0, (bottom - u.valToPos(s.at, 'y', true)) / (bottom - top)));
    if (!Number.isFinite(share)) continue;
    g.addColorStop(share, color);
    color = css(s.color);
    g.addColorStop(share, color);
  }
  g.addColorStop(1, color);
  return g;
}

/** drawMarks draws thresholds as thin lines under the points, with their names to the right. */
function drawMarks(u: uPlot, marks: Mark[]): void {
  const { ctx } = u;
  const { left, top, width, height } = u.bbox;
  ctx.save();
  ctx.font = `${10 * devicePixelRatio}px ${css('--sans')}`;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'middle';
  for (const m of marks) {
    const y = Math.round(u.valToPos(m.at, 'y', true)) + 0.5;
    if (!(y >= top && y <= top + height)) continue;
    const color = css(m.color);
    ctx.strokeStyle = color;
    ctx.globalAlpha = 0.55;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
    ctx.globalAlpha = 0.95;
    ctx.fillStyle = color;
    ctx.fillText(m.label, left + width + 6 * devicePixelRatio, y);
  }
  ctx.restore();
}

const pad = (n: number) => String(n).padStart(2, '0');
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** timeLabels writes the instants of an axis in UTC, one line each: the hour within a day, the day otherwise, the year where it turns. */
function timeLabels(_: uPlot, instants: number[]): string[] {
  const step = instants.length > 1 ? instants[1]! - instants[0]! : 0;
  return instants.map((t, i) => {
    const d = new Date(t);
    const day = `${d.getUTCDate()} ${months[d.getUTCMonth()]}`;
    if (step >= 360 * 86_400_000) return String(d.getUTCFullYear());
    if (step >= 86_400_000 || (d.getUTCHours() === 0 && d.getUTCMinutes() === 0 && d.getUTCSeconds() === 0)) {
      return i === 0 || (d.getUTCMonth() === 0 && d.getUTCDate() === 1) ? `${day} ${d.getUTCFullYear()}` : day;
    }
    const clock = `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}`;
    return step < 60_000 ? `${clock}:${pad(d.getUTCSeconds())}` : clock;
  });
}

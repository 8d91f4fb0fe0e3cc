// What the page of cameras knows of frames, zones and labels, apart from drawing.

export interface Box {
  label: string;
  score: number;
  /** left, top, right, bottom, 0 to 1 of the frame */
  box: [number, number, number, number];
  track?: number;
}

export interface Sight {
  /** Unix nanoseconds as text: it names the frame. */
  captured: string;
  time: string;
  sequence: number;
  width: number;
  height: number;
  status: string;
  version?: string;
  label?: string;
  risk: number;
  boxes: Box[];
  zones?: string[];
  fired?: string[];
  evidence?: string;
  age_ms: number;
  position: string;
}

export interface Camera {
  pipeline: string;
  camera: string;
  frames: number;
  scored: number;
  dropped: Record<string, number>;
  missing: number;
  fps: number;
  age_ms: { p50: number; p99: number };
  latency_ms: { p50: number; p99: number };
  seen: string;
  newest?: Sight;
  shots?: Sight[];
  fires?: Sight[];
  eye?: Eye;
}

export type Point = [number, number];

export interface Eye {
  zones: { name: string; cameras?: string[]; polygon: Point[]; labels?: string[] }[];
  lines: { name: string; cameras?: string[]; from: Point; to: Point }[];
  rules: { name: string; cameras?: string[]; zone?: string; line?: string; severity: string; says: string }[];
  labels?: string[];
}

export interface Cameras {
  cameras: Camera[];
  pipelines: Record<string, Eye>;
}

export const nothing: Eye = { zones: [], lines: [], rules: [] };

/** statusNames say in words why a frame was not scored. */
export const statusNames: Record<string, string> = {
  late: 'too old',
  busy: 'a newer one was waiting',
  'no-model': 'no model yet',
  broken: 'broken JPEG',
  lost: 'picture lost',
  failed: 'model failed',
};

/** skipped counts frames that newer ones replaced, stale those that were too old, other the rest. */
export function skips(c: Camera): { skipped: number; stale: number; other: number } {
  const { busy = 0, late = 0, ...rest } = c.dropped;
  return { skipped: busy, stale: late, other: Object.values(rest).reduce((a, b) => a + b, 0) };
}

export const frameURL = (pipeline: string, camera: string, captured: string): string =>
  `/api/v1/cameras/${encodeURIComponent(pipeline)}/${encodeURIComponent(camera)}/frame?captured=${captured}`;

/** evidenceURL is where a kept frame is; its name is escaped already. */
export const evidenceURL = (ref: string): string => `/api/v1/evidence/${ref}`;

/** at tells what of an eye is of a camera. */
export function at(eye: Eye, camera: string): Eye {
  const mine = (of: { cameras?: string[] }) => !of.cameras?.length || of.cameras.includes(camera);
  // Go has null for a list of nothing.
  return { ...eye, zones: (eye.zones ?? []).filter(mine), lines: (eye.lines ?? []).filter(mine), rules: (eye.rules ?? []).filter(mine) };
}

/** label is what is posted of a frame: a class of the whole, or of a box, or that something was missed. */
export interface Label {
  pipeline: string;
  asset: string;
  time: string;
  label: string;
  box?: [number, number, number, number];
  of: string;
  who: string;
  note?: string;
  /** The model should have seen it: golden, and heavy in training. */
  missed?: boolean;
}

/** exact is the instant of a frame to the nanosecond, which a Date cannot hold. */
export function exact(captured: string): string {
  const ns = BigInt(captured);
  const seconds = ns / 1_000_000_000n;
  const rest = (ns % 1_000_000_000n).toString().padStart(9, '0');
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${rest}Z`;
}

export function labelOf(pipeline: string, camera: string, shot: Sight, label: string, who: string, box?: [number, number, number, number], missed = false): Label {
  const l: Label = { pipeline, asset: camera, time: exact(shot.captured), label, of: shot.position, who };
  if (missed || label === 'missed') l.missed = true;
  if (box) l.box = box.map((v) => Math.round(v * 1e4) / 1e4) as [number, number, number, number];
  return l;
}

/** rectangle makes a box of two corners, whichever they are; none if it holds next to nothing. */
export function rectangle(a: Point, b: Point): [number, number, number, number] | undefined {
  const box: [number, number, number, number] = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
  return box[2] - box[0] < 0.01 || box[3] - box[1] < 0.01 ? undefined : box;
}

/** zoneYAML is a drawn polygon as the configuration has it. */
export function zoneYAML(name: string, camera: string, polygon: Point[]): string {
  const corners = polygon.map(([x, y]) => `[${round(x)}, ${round(y)}]`).join(', ');
  return `- {name: ${name || 'zone'}, cameras: [${camera}], polygon: [${corners}], inertia: 3}`;
}

function round(v: number): string {
  return String(Math.round(Math.min(1, Math.max(0, v)) * 1000) / 1000);
}

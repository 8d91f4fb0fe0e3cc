import type { JSX } from 'preact';

const paths: Record<string, JSX.Element> = {
  line: <path d="M3 12h4l3-7 4 14 3-7h4" />,
  fleet: <path d="M4 6h16M4 12h11M4 18h7" />,
  cameras: <path d="M3 7h12v10H3zm12 4 6-3v8l-6-3M7 10h.1" />,
  training: <path d="M4 4v16h16M8 15l4-5 3 2 5-7" />,
  models: <path d="M12 3 4 7v10l8 4 8-4V7zm0 8v10M4 7l8 4 8-4" />,
  drift: <path d="M3 18c3 0 4-9 7-9s3 9 6 9M9 18c3 0 4-13 7-13s3 13 5 13" />,
  sql: <path d="m7 8-4 4 4 4m10-8 4 4-4 4M14 5l-4 14" />,
  sun: <path d="M12 4V2m0 20v-2m8-8h2M2 12h2m13.7-5.7 1.4-1.4M4.9 19.1l1.4-1.4m0-11.4L4.9 4.9m14.2 14.2-1.4-1.4M16 12a4 4 0 1 1-8 0 4 4 0 0 1 8 0Z" />,
  moon: <path d="M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z" />,
  help: <path d="M9.2 9a3 3 0 1 1 4.3 2.7c-.9.5-1.5 1.1-1.5 2.3m0 3.2v.1M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0Z" />,
  pause: <path d="M9 5v14m6-14v14" />,
  play: <path d="M7 4.5v15l12-7.5z" />,
  search: <path d="m20 20-4.5-4.5M17 10.5a6.5 6.5 0 1 1-13 0 6.5 6.5 0 0 1 13 0Z" />,
  kafka: <path d="M5 4v16m7-16v16m7-16v16M5 8h7m0 8h7" />,
  ingest: <path d="M12 3v12m-5-5 5 5 5-5M4 20h16" />,
  features: <path d="M4 5h16v4H4zm0 10h7v4H4zm12 0h4v4h-4zM6 9v6m12-6v6" />,
  score: <path d="M4 16a8 8 0 1 1 16 0M12 16l4-6" />,
  store: <path d="M4 6c0-4 16-4 16 0v12c0 4-16 4-16 0zm0 0c0 4 16 4 16 0M4 12c0 4 16 4 16 0" />,
  dead: <path d="M4 5h16v14H4zm0 1 8 7 8-7" />,
  truth: <path d="M4 12.5 9.5 18 20 6.5" />,
  alerts: <path d="M6 16V11a6 6 0 1 1 12 0v5l2 2H4zm4 5h4" />,
  letters: <path d="M4 5h16v14H4zm0 1 8 7 8-7" />,
  again: <path d="M4 12a8 8 0 0 1 14-5.3L20 9M20 4v5h-5M20 12a8 8 0 0 1-14 5.3L4 15m0 5v-5h5" />,
  host: <path d="M4 5h16v6H4zm0 8h16v6H4zm3-5h.1M7 16h.1" />,
  copy: <path d="M9 9h11v11H9zM5 15H4V4h11v1" />,
  download: <path d="M12 4v11m-4-4 4 4 4-4M5 20h14" />,
  check: <path d="m5 13 4 4L19 7" />,
  back: <path d="m14 6-6 6 6 6" />,
  down: <path d="m6 9 6 6 6-6" />,
};

/** Icon is decoration: what it means is said in text beside it. */
export function Icon({ name, size = 18 }: { name: keyof typeof paths | string; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true">
      {paths[name]}
    </svg>
  );
}

export function Lantern() {
  return (
    <svg class="lantern" width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
      <path class="cord" d="M16 2v6" />
      <path class="glass" d="M11 8h10l2.4 4.6v9.9A3.5 3.5 0 0 1 19.9 26h-7.8a3.5 3.5 0 0 1-3.5-3.5v-9.9z" />
      <path class="foot" d="M13 29.5h6" />
    </svg>
  );
}

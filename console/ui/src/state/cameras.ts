// The cameras, asked for as often as somebody looks, and no oftener.

import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Camera, Cameras } from '../lib/cameras.ts';
import { ask } from '../lib/letters.ts';

export const cameras = signal<Cameras | null>(null);
export const camerasFault = signal<string | null>(null);

/** usePoll asks again and again while the page is looked at; the next ask waits for the answer before. */
export function usePoll<T>(path: string | null, everyMs: number, take: (answer: T) => void, fail: (why: string) => void): void {
  useEffect(() => {
    if (!path) return;
    let over = false;
    const stop = new AbortController();
    const loop = async () => {
      while (!over) {
        const began = performance.now();
        if (!document.hidden) {
          try {
            const got = await ask<T>(path, undefined, stop.signal);
            if (!over) take(got);
          } catch (e) {
            if (!over) fail((e as Error).message);
          }
        }
        const wait = document.hidden ? 1000 : Math.max(20, everyMs - (performance.now() - began));
        await new Promise((r) => setTimeout(r, wait));
      }
    };
    void loop();
    return () => {
      over = true;
      stop.abort();
    };
  }, [path, everyMs]);
}

/** useCameras follows the wall. */
export function useCameras(everyMs: number): void {
  usePoll<Cameras>(
    '/api/v1/cameras',
    everyMs,
    (got) => {
      cameras.value = got;
      camerasFault.value = null;
    },
    (why) => {
      camerasFault.value = why;
    },
  );
}

export const camera = signal<Camera | null>(null);

/** useCamera follows one. */
export function useCamera(pipeline: string, name: string, everyMs: number): void {
  useEffect(() => {
    camera.value = null;
  }, [pipeline, name]);
  usePoll<Camera>(
    `/api/v1/cameras/${encodeURIComponent(pipeline)}/${encodeURIComponent(name)}`,
    everyMs,
    (got) => {
      camera.value = got;
      camerasFault.value = null;
    },
    (why) => {
      camerasFault.value = why;
    },
  );
}

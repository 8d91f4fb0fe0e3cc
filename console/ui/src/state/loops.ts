// Where each pipeline's loop is, while a page looks.

import { signal } from '@preact/signals';
import type { Loop } from '../lib/loop.ts';
import type { Body } from '../lib/protocol.ts';
import { subscribe } from './feed.ts';

export const loops = signal<Loop[] | null>(null);

/** loopTurn changes when models, decisions or comparisons may have: whoever shows those asks for them again. */
export const loopTurn = signal(0);

/** followLoops looks until the returned function is called. */
export function followLoops(): () => void {
  const take = (body: Body) => {
    loops.value = body.loops ?? [];
    loopTurn.value = body.turn ?? 0;
  };
  return subscribe(() => ({ topic: 'models' }), 2, { snapshot: take, delta: take });
}

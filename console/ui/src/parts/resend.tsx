// The question before dead letters are sent again, and what came of it.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { count } from '../lib/format.ts';
import { ask, type Choice, type Replayed, type ReplayAnswer } from '../lib/letters.ts';

type State = { kind: 'asking' } | { kind: 'sending'; done: number } | { kind: 'done'; letters: Map<string, number>; worst: Replayed | undefined; only: Replayed | undefined } | { kind: 'error'; message: string };

/** Resend is a dialog that is open as long as it is there. */
export function Resend({ choice, what, close }: { choice: Choice; what: string; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const to = useSignal('');
  const again = useSignal(false);
  const found = useSignal<ReplayAnswer | null>(null);
  const state = useSignal<State>({ kind: 'asking' });
  useEffect(() => {
    dialog.current?.showModal();
    ask<ReplayAnswer>('/api/v1/deadletters/replay', { ...choice, dry_run: true, limit: 1 }).then(
      (a) => (found.value = a),
      (e: Error) => (state.value = { kind: 'error', message: e.message }),
    );
  }, []);
  const send = async () => {
    const states = new Map<string, number>();
    let worst: Replayed | undefined;
    let only: Replayed | undefined;
    let done = 0;
    let after: string | undefined;
    state.value = { kind: 'sending', done };
    try {
      do {
        const a: ReplayAnswer = await ask<ReplayAnswer>('/api/v1/deadletters/replay', { ...choice, to: to.value.trim(), again: again.value, who: 'console', limit: 500, after: after ?? '' });
        for (const l of a.letters) {
          states.set(l.state, (states.get(l.state) ?? 0) + 1);
          if (l.state !== 'sent') worst ??= l;
          only = done === 0 ? l : undefined;
          done++;
        }
        state.value = { kind: 'sending', done };
        after = a.next;
      } while (after);
      state.value = { kind: 'done', letters: states, worst, only };
    } catch (e) {
      state.value = { kind: 'error', message: `${(e as Error).message}${done > 0 ? ` (after ${count(done)} letters)` : ''}` };
    }
  };
  const f = found.value;
  const s = state.value;
  const before = f ? f.sent_before + f.in_doubt_before : 0;
  const left = f ? f.chosen - (again.value ? 0 : before) : 0;
  const busy = s.kind === 'sending';
  return (
    <dialog class="keys resend" ref={dialog} aria-labelledby="resend-title" onClose={close} onCancel={(e) => busy && e.preventDefault()}>
      <h2 id="resend-title">Send again</h2>
      <p class="muted">{what}: bytes, headers and timestamp stay as they were.</p>
      {s.kind === 'done' ? (
        <div role="status" class="resend-result">
          <p>
            <b class="num">{count(s.letters.get('sent') ?? 0)}</b> sent
            {[...s.letters].filter(([k]) => k !== 'sent').map(([k, n]) => `, ${count(n)} ${k}`)}.{s.only && s.only.state === 'sent' && <> It is now <code>{s.only.to}</code>.</>}
          </p>
          {s.worst && (
            <p class="tone-critical resend-fault">
              <code>{s.worst.from}</code> {s.worst.state}: {s.worst.detail || 'no reason was given'}
            </p>
          )}
        </div>
      ) : s.kind === 'error' ? (
        <p role="alert" class="tone-critical resend-fault">
          {s.message}
        </p>
      ) : (
        <>
          <label class="field">
            <span>Topic</span>
            <input value={to.value} onInput={(e) => (to.value = e.currentTarget.value)} placeholder="their own" spellcheck={false} autocapitalize="off" disabled={busy} />
          </label>
          {before > 0 && (
            <label class="tick">
              <input type="checkbox" checked={again.value} onChange={(e) => (again.value = e.currentTarget.checked)} disabled={busy} />
              <span>
                Also the <b class="num">{count(before)}</b> that {before === 1 ? 'was' : 'were'} sent before{f && f.in_doubt_before > 0 ? ' or may have been' : ''}
              </span>
            </label>
          )}
          <p role="status" class="small muted">
            {!f ? 'Counting …' : busy ? `${count(s.done)} of ${count(left)} …` : left === 0 ? 'There is nothing left to send.' : `${count(left)} ${left === 1 ? 'letter goes' : 'letters go'} to Kafka.`}
          </p>
        </>
      )}
      <div class="resend-bar">
        {s.kind === 'done' || s.kind === 'error' ? (
          <button class="button" onClick={() => dialog.current?.close()}>
            Close
          </button>
        ) : (
          <>
            <button class="button" onClick={() => dialog.current?.close()} disabled={busy}>
              Cancel
            </button>
            <button class="button primary" onClick={() => void send()} disabled={busy || left === 0}>
              {busy ? 'Sending' : 'Send again'}
            </button>
          </>
        )}
      </div>
    </dialog>
  );
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digits, reached, told, verdictTone, type Decision } from '../src/lib/loop.ts';

test('a campaign has passed some stages, is at one, and has others ahead', () => {
  assert.deepEqual(['train', 'gate', 'shadow', 'canary', 'promote', 'watch'].map((s) => reached(s, 'shadow')), ['done', 'done', 'now', 'ahead', 'ahead', 'ahead']);
  assert.equal(reached('train', 'trigger'), 'now');
  assert.equal(reached('watch', 'rollback'), 'now');
});

test('waits that follow each other are told once', () => {
  const d = (verdict: string, stage: string, reason: string): Decision => ({ time: reason, pipeline: 'p', campaign: 'c', stage, verdict, reason, who: 'loop' });
  const list = [d('go', 'canary', '5'), d('wait', 'canary', '4'), d('wait', 'canary', '3'), d('wait', 'shadow', '2'), d('go', 'gate', '1')];
  assert.deepEqual(told(list).map((x) => x.reason), ['5', '4', '2', '1']);
});

test('verdicts and numbers are written for people', () => {
  assert.equal(verdictTone({ stage: 'rollback', verdict: 'go' }), 'critical');
  assert.equal(verdictTone({ stage: 'gate', verdict: 'no' }), 'watch');
  assert.equal(verdictTone({ stage: 'gate', verdict: 'wait' }), 'none');
  assert.equal(digits(0.12345), '0.123');
  assert.equal(digits(0.00123), '0.0012');
  assert.equal(digits(null), '–');
});

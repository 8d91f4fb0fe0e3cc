import assert from 'node:assert/strict';
import { test } from 'node:test';
import { budget, changed, units, unwatched, type Drift } from '../src/lib/drift.ts';

test('what has changed, and the budget of false alarms', () => {
  const d = { windows: 20_000, began: 1, features: [{ drifted: true }, { drifted: false }] } as unknown as Drift;
  assert.equal(changed(d), 1);
  assert.equal(budget(d), 0.05);
  assert.equal(budget({ ...d, windows: 0 }), null);
});

test('what is counted, and the canary that has no round yet', () => {
  const version = (version: string, alias: string, rounds: number) => ({ version, alias, rounds, end: '' });
  const d = { unit: 'frames', versions: [version('a', 'champion', 9), version('b', 'canary', 0)] } as unknown as Drift;
  assert.deepEqual(units(d), { one: 'frame', many: 'frames', asset: 'camera', assets: 'cameras' });
  assert.equal(units({ ...d, unit: 'windows' }).many, 'windows');
  assert.equal(unwatched(d), 'b');
  assert.equal(unwatched({ ...d, versions: [version('a', 'champion', 9), version('b', 'canary', 2)] }), undefined);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { budget, changed, type Drift } from '../src/lib/drift.ts';

test('what has changed, and the budget of false alarms', () => {
  const d = { windows: 20_000, began: 1, features: [{ drifted: true }, { drifted: false }] } as unknown as Drift;
  assert.equal(changed(d), 1);
  assert.equal(budget(d), 0.05);
  assert.equal(budget({ ...d, windows: 0 }), null);
});

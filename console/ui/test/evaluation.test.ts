import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costs, counted, merged, metricName, ofGate, preset, reference, rows, shownFirst, standing, written, type Cell, type Cost, type Evaluation } from '../src/lib/evaluation.ts';
import type { Version } from '../src/lib/loop.ts';

const cost = (version: string, more: Partial<Cost> = {}): Cost => ({
  version,
  network: 'gru 1×32',
  p50_ns: 0,
  p99_ns: 0,
  cpu_seconds_per_million: null,
  joules_per_million: null,
  bytes: 0,
  training_seconds: null,
  training_cpu_seconds: null,
  retrainings_a_week: null,
  alarms_a_week: null,
  ...more,
});
const cell = (scenario: string, version: string, value: number | null, low: number | null = null, high: number | null = null): Cell => ({ scenario, version, value, low, high, loss: value });
const table = (more: Partial<Evaluation> = {}): Evaluation => ({
  id: 't1',
  pipeline: 'engines',
  task: 'remaining-life',
  time: 1,
  digest: 'd',
  metric: 'rmse',
  unit: 'cycles',
  level: 0.95,
  scenarios: [],
  versions: [],
  cells: [],
  ...more,
});

test('a cell shows as many decimals as its interval has meaning for', () => {
  assert.deepEqual(written(cell('all', 'a', 14.2345, 13.1, 15.77)), { value: '14.2', range: '13.1 to 15.8' });
  assert.deepEqual(written(cell('all', 'a', 0.02345, 0.0213, 0.0258)), { value: '0.0234', range: '0.0213 to 0.0258' });
  assert.deepEqual(written(cell('all', 'a', 312.6, 250, 380)), { value: '313', range: '250 to 380' });
  assert.deepEqual(written(cell('all', 'a', 0.123456)), { value: '0.1235', range: '' });
  assert.deepEqual(written(cell('all', 'a', 0, 0, 0)), { value: '0', range: '0 to 0' });
  assert.deepEqual(written(cell('all', 'a', 0.25, 0.25, 0.25)), { value: '0.25', range: '0.25 to 0.25' });
  assert.deepEqual(written(cell('all', 'a', null)), { value: '–', range: '' });
  assert.deepEqual(written(undefined), { value: '–', range: '' });
});

test('better and worse are said only where the intervals do not overlap', () => {
  const champion = cell('all', 'a', 10, 9, 11);
  assert.equal(standing(cell('all', 'b', 8, 7, 8.9), champion), 'better');
  assert.equal(standing(cell('all', 'b', 12, 11.1, 13), champion), 'worse');
  assert.equal(standing(cell('all', 'b', 12, 11, 13), champion), undefined);
  assert.equal(standing(cell('all', 'b', 8, 7, 9), champion), undefined);
  assert.equal(standing(cell('all', 'b', 20), champion), undefined);
  assert.equal(standing(cell('all', 'b', null), champion), undefined);
  assert.equal(standing(champion, champion), undefined);
  assert.equal(standing(undefined, champion), undefined);
});

test('rows find their cells by name, and show what is missing', () => {
  const t = table({
    versions: [cost('a'), cost('b')],
    scenarios: [
      { name: 'all', judged: true, windows: 600, assets: 12 },
      { name: 'noise', judged: false, windows: 600, assets: 12 },
    ],
    cells: [cell('noise', 'b', 30, 28, 32), cell('all', 'b', 12, 11.5, 13), cell('all', 'a', 10, 9, 11)],
  });
  const [all, noise] = rows(t, 'a');
  assert.deepEqual(all!.cells.map((c) => [c.version, c.value, c.standing]), [
    ['a', '10.0', undefined],
    ['b', '12.0', 'worse'],
  ]);
  assert.deepEqual(noise!.cells.map((c) => [c.value, c.standing]), [
    ['–', undefined],
    ['30.0', undefined],
  ]);
  assert.deepEqual(rows(table({ scenarios: null, versions: null, cells: null }), undefined), []);
});

test('costs are in their units, beside the reference, and unknown rows are left out, but for what is not measured', () => {
  const t = table({
    versions: [cost('a', { p50_ns: 120_000, p99_ns: 400_000, cpu_seconds_per_million: 31.26, bytes: 2048, training_seconds: 106.2, training_joules: 1200 }), cost('b', { training_seconds: 5400, p50_ns: 60_000, p99_ns: 400_000, bytes: 4096, retrainings_a_week: 0 })],
  });
  assert.deepEqual(
    costs(t, 'a').map((r) => [r.label, ...r.cells.map((c) => `${c.text} ${c.times}`.trim())]),
    [
      ['p50 of one', '120 µs', '60 µs 0.5×'],
      ['p99 of one', '400 µs', '400 µs 1×'],
      ['CPU-seconds a million', '31.3', '–'],
      ['Joules a million', 'not measured', 'not measured'],
      ['Size', '2.0 KiB', '4.0 KiB 2×'],
      ['Training', '106 s', '90 min 51×'],
      ['Training, joules', '1200', 'not measured'],
      ['Retrainings a week', '–', '0'],
    ],
  );
  assert.equal(reference(t, 'b'), 'b');
  assert.equal(reference(t, 'gone'), 'a');
  assert.equal(reference(table(), 'a'), undefined);
});

test('the campaign’s gate is looked at first, else the newest table', () => {
  const gate = table({ id: 'gate', who: 'gate', time: 5, versions: [cost('a'), cost('b')] });
  const hand = table({ id: 'hand', who: 'console', time: 9, versions: [cost('a'), cost('b')] });
  const made = table({ id: 'made', who: 'console', time: 7 });
  const all = merged([hand, gate], made);
  assert.deepEqual(all.map((t) => t.id), ['hand', 'made', 'gate']);
  assert.deepEqual(merged(all, made).map((t) => t.id), ['hand', 'made', 'gate']);
  assert.equal(shownFirst(all, 'b')!.id, 'gate');
  assert.equal(shownFirst(all, 'c')!.id, 'hand');
  assert.equal(shownFirst(all, undefined)!.id, 'hand');
  assert.equal(shownFirst([], 'b'), undefined);
  assert.equal(ofGate(hand, 'b'), false);
});

test('a comparison begins with champion and challenger, else with the newest', () => {
  const v = (version: string, added: string, ...aliases: string[]): Version => ({ pipeline: 'p', version, network: '', added, aliases, bytes: 0, lineage: { trained: '' } });
  const old = v('old', '2026-01-01T00:00:00Z');
  const newer = v('new', '2026-03-01T00:00:00Z');
  const champion = v('cha', '2026-02-01T00:00:00Z', 'champion');
  assert.deepEqual(preset([old, champion, newer]), ['cha', 'new']);
  assert.deepEqual(preset([newer, v('ger', '2025-01-01T00:00:00Z', 'challenger'), champion]), ['cha', 'ger']);
  assert.deepEqual(preset([old]), ['old']);
});

test('metrics are written out with their unit', () => {
  assert.equal(metricName({ metric: 'rmse', unit: 'cycles' }), 'RMSE, cycles');
  assert.equal(metricName({ metric: '1-f1' }), '1 − F1');
  assert.equal(metricName({ metric: 'new' }), 'new');
});

test('what is counted has the name of what the models see', () => {
  assert.deepEqual(counted({ metric: 'error' }), ['Frames', 'Cameras']);
  assert.deepEqual(counted({ metric: '1-f1' }), ['Frames', 'Cameras']);
  assert.deepEqual(counted({ metric: 'brier' }), ['Windows', 'Assets']);
});

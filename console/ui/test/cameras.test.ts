import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at, exact, labelOf, rectangle, skips, zoneYAML, type Camera, type Sight } from '../src/lib/cameras.ts';

const shot = { captured: '1795000000123456789', position: 't/1@5' } as Sight;

test('a label names its frame to the nanosecond, with class, box and record', () => {
  assert.equal(exact('1795000000123456789'), '2026-11-18T11:06:40.123456789Z');
  assert.equal(exact('1000000005'), '1970-01-01T00:00:01.000000005Z');
  assert.deepEqual(labelOf('gate', 'dock', shot, 'person', 'eva', [0.123456, 0, 0.5, 1]), {
    pipeline: 'gate',
    asset: 'dock',
    time: '2026-11-18T11:06:40.123456789Z',
    label: 'person',
    of: 't/1@5',
    who: 'eva',
    box: [0.1235, 0, 0.5, 1],
  });
  assert.equal(labelOf('gate', 'dock', shot, 'person', 'eva', undefined, true).missed, true);
  const missed = labelOf('gate', 'dock', shot, 'missed', 'eva');
  assert.equal(missed.box, undefined);
  assert.equal(missed.missed, true);
});

test('a box is drawn from whichever corner, and is nothing where it holds nothing', () => {
  assert.deepEqual(rectangle([0.5, 0.2], [0.1, 0.6]), [0.1, 0.2, 0.5, 0.6]);
  assert.equal(rectangle([0.5, 0.2], [0.505, 0.6]), undefined);
});

test('what was not scored is told apart', () => {
  assert.deepEqual(skips({ dropped: { busy: 3, late: 2, broken: 1, 'no-model': 4 } } as unknown as Camera), { skipped: 3, stale: 2, other: 5 });
});

test('zones are of their cameras', () => {
  const eye = { zones: [{ name: 'a', polygon: [], cameras: ['x'] }, { name: 'b', polygon: [] }], lines: [], rules: [] };
  assert.deepEqual(
    at(eye, 'y').zones.map((z) => z.name),
    ['b'],
  );
  assert.deepEqual(
    at(eye, 'x').zones.map((z) => z.name),
    ['a', 'b'],
  );
});

test('a drawn zone is a line of the configuration', () => {
  const yaml = zoneYAML('gate', 'dock-1', [
    [0.1, 0.5],
    [0.33333, 1.2],
    [-0.1, 1],
  ]);
  assert.equal(yaml, '- {name: gate, cameras: [dock-1], polygon: [[0.1, 0.5], [0.333, 1], [0, 1]], inertia: 3}');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff } from '../src/lib/backoff.ts';
import { csv } from '../src/lib/csv.ts';
import * as f from '../src/lib/format.ts';
import { FRAME_ROWS, parseFrame } from '../src/lib/protocol.ts';
import { bytesOf, hexOf, oneLine, place, textOf } from '../src/lib/letters.ts';
import { link, parseRoute } from '../src/lib/route.ts';
import { around, steadyRange, ticks, visible, windowChoices } from '../src/lib/windows.ts';
import { choices, course, frameWords, labelsOf, missed, type Waiting } from '../src/lib/labels.ts';

test('numbers for people', () => {
  assert.equal(f.count(1234567), '1.23 M');
  assert.equal(f.count(12345.4), '12,345');
  assert.equal(f.count(null), '–');
  assert.equal(f.rate(0), '0');
  assert.equal(f.rate(0.44), '0.4');
  assert.equal(f.rate(1234.5), '1,235');
  assert.equal(f.rate(56_789), '56.8 k');
  assert.equal(f.seconds(0.00042), '420 µs');
  assert.equal(f.seconds(0.0018), '1.8 ms');
  assert.equal(f.seconds(0.2), '200 ms');
  assert.equal(f.seconds(61), '61 s');
  assert.equal(f.seconds(7200), '2 h');
  assert.equal(f.duration(4.6), '5 s');
  assert.equal(f.duration(400_000), '5 d');
  assert.equal(f.seconds(NaN), '–');
  assert.equal(f.bytes(1536), '1.5 KiB');
  assert.equal(f.bytes(812), '812 B');
  assert.equal(f.value(9046.19), '9046.2');
  assert.equal(f.value(0.02735), '0.027');
  assert.equal(f.value(0), '0');
  assert.equal(f.value(1.2e9), '1.20e+9');
  assert.equal(f.score(41.6, 'cycles'), '42 cycles');
  assert.equal(f.score(3.14159, 'sd'), '3.14 σ');
  assert.equal(f.span(14 * 86_400_000), '14 d');
  assert.equal(f.span(90_000), '90 s');
  assert.equal(f.stamp(Date.UTC(2020, 0, 9, 17, 0, 5)), '2020-01-09 17:00');
  assert.equal(f.stamp(Date.UTC(2020, 0, 9, 17, 0, 5), true), '2020-01-09 17:00:05');
  assert.equal(f.ago(1000, 1500), 'now');
  assert.equal(f.ago(1000, 61_000), '60 s ago');
});

test('an address and back', () => {
  const address = link('asset', ['compressors', 'hall 3/a#1?'], { w: '60000', q: undefined });
  const r = parseRoute(address);
  assert.deepEqual(r, { page: 'asset', parts: ['compressors', 'hall 3/a#1?'], query: { w: '60000' } });
  assert.equal(parseRoute('').page, 'line');
  assert.equal(parseRoute('#/sql?q=SELECT%201%20%2B%201').query.q, 'SELECT 1 + 1');
  assert.deepEqual(parseRoute('#/asset/%E0%A4%A').parts, ['%E0%A4%A']);
});

test('an address that names a time is shown around it', () => {
  assert.deepEqual(around('100000', '160000'), { from: 40000, to: 190000 });
  assert.deepEqual(around('100000', '100000'), { from: 99000, to: 100500 });
  for (const [from, to] of [[undefined, undefined], ['5', undefined], ['9', '8'], ['x', '8'], ['0', '8']]) assert.equal(around(from, to), null);
});

test('the spans on offer suit the grid', () => {
  const hour = windowChoices(3_600_000);
  assert.equal(hour.usual, 14 * 86_400_000);
  assert.ok(hour.choices.includes(hour.usual) && hour.choices.length <= 5);
  const fiveMinutes = windowChoices(300_000);
  assert.equal(fiveMinutes.usual, 86_400_000);
  assert.ok(windowChoices(1000).usual === 300_000);
  assert.equal(windowChoices(365 * 86_400_000).choices.length, 1);
});

test('ticks are told apart', () => {
  assert.deepEqual(ticks([2388, 2388.2, 2388.4]), ['2388.0', '2388.2', '2388.4']);
  assert.deepEqual(ticks([0, 25, 50]), ['0', '25', '50']);
  assert.deepEqual(ticks([0, 0.25, 0.5]), ['0.00', '0.25', '0.50']);
  assert.deepEqual(ticks([0.002, 0.004]), ['0.002', '0.004']);
  assert.deepEqual(ticks([1000, 3000]), ['1000', '3000']);
  assert.deepEqual(ticks([5]), ['5']);
  assert.deepEqual(ticks([]), []);
});

test('a short past fills the chart', () => {
  assert.deepEqual(visible(50, 1050, 100), [950, 1050]);
  assert.deepEqual(visible(1000, 1050, 100), [1000, 1050]);
  assert.deepEqual(visible(1050, 1050, 100), [1045, 1050]);
  assert.deepEqual(visible(10, 1050, 0), [10, 1050]);
  assert.deepEqual(visible(NaN, NaN, 100), [0, 1]);
});

test('an axis moves only when it must', () => {
  const first = steadyRange(null, 10, 20);
  assert.ok(first[0] < 10 && first[1] > 20);
  assert.equal(steadyRange(first, 11, 19), first);
  assert.notEqual(steadyRange(first, 9, 22), first);
  assert.notEqual(steadyRange(first, 14, 15), first);
  const flat = steadyRange(null, 5, 5);
  assert.ok(flat[0] < 5 && flat[1] > 5);
  assert.deepEqual(steadyRange(null, Infinity, -Infinity), [0, 1]);
});

test('a frame is read in place, and a torn one refused', () => {
  const buffer = new ArrayBuffer(16 + 2 * 8 + 2 * 2 * 4);
  const view = new DataView(buffer);
  view.setUint8(0, FRAME_ROWS);
  view.setUint8(1, 1);
  view.setUint16(2, 2, true);
  view.setUint32(4, 7, true);
  view.setUint32(8, 9, true);
  view.setUint32(12, 2, true);
  view.setFloat64(16, 1000, true);
  view.setFloat64(24, 2000, true);
  [1, 2, 3, 4].forEach((v, i) => view.setFloat32(32 + 4 * i, v, true));
  const frame = parseFrame(buffer);
  assert.deepEqual({ ...frame, times: [...frame.times], columns: frame.columns.map((c) => [...c]) }, { kind: FRAME_ROWS, snapshot: true, id: 7, seq: 9, times: [1000, 2000], columns: [[1, 2], [3, 4]] });
  assert.throws(() => parseFrame(buffer.slice(0, 40)), /2 columns of 2 points/);
  assert.throws(() => parseFrame(new ArrayBuffer(3)), /3 bytes/);
});

test('a table as CSV', () => {
  assert.equal(csv(['a', 'b,c'], [[1, 'x"y'], [null, [1, 2]]]), 'a,"b,c"\r\n1,"x""y"\r\n,"[1,2]"\r\n');
});

test('tries are spread, and not endlessly far apart', () => {
  assert.equal(backoff(0, () => 1), 200);
  assert.equal(backoff(3, () => 0.5), 800);
  assert.equal(backoff(50, () => 1), 30_000);
});

test('the bytes of a dead letter for people', () => {
  const text = new TextEncoder().encode('{"ä":1}\n');
  assert.equal(textOf(text), '{"ä":1}\n');
  assert.equal(textOf(new Uint8Array([65, 0])), null);
  assert.equal(textOf(new Uint8Array([0xff, 65])), null);
  assert.equal(textOf(new Uint8Array()), '');
  assert.deepEqual([...bytesOf('AP8K')], [0, 255, 10]);
  assert.deepEqual([...bytesOf(undefined)], []);
  assert.equal(oneLine(new Uint8Array([0, 255])), '0x00ff');
  assert.equal(oneLine(text.subarray(0, 2)), '{"');
  const dump = hexOf(Uint8Array.from({ length: 17 }, (_, i) => 60 + i)).split('\n');
  assert.equal(dump[0], '00000000  3c 3d 3e 3f 40 41 42 43 44 45 46 47 48 49 4a 4b  <=>?@ABCDEFGHIJK');
  assert.equal(dump[1], `00000010  4c${' '.repeat(45)}  L`);
  assert.deepEqual(place('a.b/3@42 pumps'), ['a.b', '3', '42']);
  assert.equal(place('nowhere'), null);
});

test('a course breaks where there is no number', () => {
  const points = [0, 5, 10].map((day, i) => ({ day, y: i === 1 ? null : i }));
  assert.equal(course(points, 0, 10, 2), 'M0.00 100.00M100.00 0.00');
  assert.equal(course([{ day: 3, y: 1 }], 3, 3, 2), 'M50.00 50.00');
});

test('a frame in which the model saw nothing is learned from heavily where there was something', () => {
  const w: Waiting = { why: 'missed', asset: 'dock', start: 's', end: 's', risk: 0, value: 0, class: 'clear', captured: '5' };
  const person = { pipeline: 'p', asset: 'dock', time: 's', label: 'person', golden: true, weight: 5 };
  assert.deepEqual(labelsOf('p', w, 'person'), [person, { ...person, label: 'missed' }]);
  assert.deepEqual(labelsOf('p', w, 'clear'), [{ pipeline: 'p', asset: 'dock', time: 's', label: 'clear' }]);
  assert.deepEqual(labelsOf('p', { ...w, class: 'vest' }, 'person'), [{ pipeline: 'p', asset: 'dock', time: 's', label: 'person' }]);
  assert.deepEqual(labelsOf('p', { ...w, why: 'unseen', class: undefined }, 'person'), [{ pipeline: 'p', asset: 'dock', time: 's', label: 'person' }]);
  assert.deepEqual(labelsOf('p', { why: 'uncertain', asset: 'a', start: 's', end: 'e', risk: 0, value: 0 }, 'anomaly'), [{ pipeline: 'p', asset: 'a', time: 's', until: 'e', label: 'anomaly' }]);
  assert.deepEqual(labelsOf('p', { why: 'uncertain', asset: 'a', start: 's', end: 'e', risk: 0, value: 0 }, 'failure'), [{ pipeline: 'p', asset: 'a', time: 'e', label: 'failure' }]);
  assert.deepEqual(frameWords(['clear', 'person']), ['clear', 'person', 'missed']);
  assert.deepEqual(frameWords(['person']), ['person', 'clear', 'missed']);
  assert.equal(frameWords(Array.from({ length: 20 }, (_, i) => `c${i}`)).length, 9);
});

test('what is missed is golden and heavy', () => {
  assert.deepEqual(missed({ pipeline: 'p', asset: 'a', time: 't' }), { pipeline: 'p', asset: 'a', time: 't', label: 'missed', golden: true, weight: 5 });
  assert.deepEqual(choices('anomaly'), ['normal', 'anomaly', 'missed']);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Series } from '../src/lib/series.ts';

/** random is a small seeded generator (mulberry32). */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const add = (s: Series, times: number[], values: number[]) => s.add(Float64Array.from(times), [Float32Array.from(values)]);
const all = (s: Series) => {
  const w = s.window(-Infinity, Infinity);
  return [...w.times].map((t, i) => [t, w.columns[0]![i]!]);
};

test('points come out in order of time, once, with the newest value', () => {
  const next = random(7);
  for (let round = 0; round < 40; round++) {
    const s = new Series(1, 300);
    const want = new Map<number, number>();
    for (let batch = 0; batch < 12; batch++) {
      const times = [...new Set(Array.from({ length: Math.floor(next() * 60) }, () => Math.floor(next() * 400)))].sort((a, b) => a - b);
      const values = times.map(() => Math.floor(next() * 1000));
      const fresh = add(s, times, values);
      assert.equal(fresh, times.filter((t) => !want.has(t)).length);
      times.forEach((t, i) => want.set(t, values[i]!));
      // Beyond the bound the oldest are gone, for good or until they come again.
      for (const t of [...want.keys()].sort((a, b) => a - b).slice(0, Math.max(0, want.size - 300))) want.delete(t);
      assert.deepEqual(all(s), [...want].sort((a, b) => a[0] - b[0]));
    }
  }
});

test('a long run keeps the bound and its memory', () => {
  const s = new Series(2, 1000);
  for (let i = 0; i < 50_000; i++) s.add(Float64Array.of(i), [Float32Array.of(i), Float32Array.of(-i)]);
  assert.equal(s.length, 1000);
  assert.equal(s.first, 49_000);
  assert.equal(s.last, 49_999);
  assert.ok(s.times.length <= 4096, `${s.times.length} places for 1000 points`);
});

test('a window begins one point early, so that the line enters from the edge', () => {
  const s = new Series(1);
  add(s, [10, 20, 30, 40], [1, 2, 3, 4]);
  assert.deepEqual([...s.window(25, 40).times], [20, 30, 40]);
  assert.deepEqual([...s.window(0, 5).times], []);
  assert.equal(s.times[s.at(29)], 20);
  assert.equal(s.times[s.at(Infinity)], 40);
  assert.equal(s.at(9), -1);
});

test('missing columns and values are not numbers', () => {
  const s = new Series(2);
  s.add(Float64Array.of(1), [Float32Array.of(5)]);
  assert.ok(Number.isNaN(s.columns[1]![0]));
});

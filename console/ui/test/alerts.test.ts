import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chosen, evidence, grouped, type Alert } from '../src/lib/alerts.ts';

function alert(id: string, more: Partial<Alert> = {}): Alert {
  return { id, pipeline: 'p', kind: 'rule', severity: 'warning', title: id, since: '2026-11-01T08:00:00Z', state: 'firing', first: '2026-11-01T08:00:00Z', changed: '2026-11-01T08:00:00Z', fired: 1, seq: 1, ...more };
}

test('alerts are shown where they belong', () => {
  const said = { who: 'eva', at: '2026-11-01T08:00:00Z' };
  const all = [
    alert('open'),
    alert('acked', { ack: said }),
    alert('snoozed', { snooze: said }),
    alert('silenced', { silenced: 'x' }),
    alert('over', { state: 'resolved' }),
    alert('dead', { told: { ops: { seq: 1, state: 'dead', firing: false, at: '', tries: 3 } } }),
  ];
  const ids = (show: 'open' | 'mine' | 'resolved' | 'dead') => chosen(all, show).map((a) => a.id).join(' ');
  assert.equal(ids('open'), 'open dead');
  assert.equal(ids('mine'), 'acked snoozed silenced');
  assert.equal(ids('resolved'), 'over');
  assert.equal(ids('dead'), 'dead');
});

test('the worst come first, together with their like', () => {
  const groups = grouped([
    alert('old'),
    alert('new', { first: '2026-11-01T09:00:00Z' }),
    alert('bad', { severity: 'critical', kind: 'drift' }),
    alert('hint', { severity: 'info', first: '2026-11-01T10:00:00Z' }),
    alert('own', { pipeline: undefined, kind: 'bottleneck', severity: 'info' }),
  ]);
  assert.deepEqual(
    groups.map((g) => [g.name, g.alerts.map((a) => a.id).join(' ')]),
    [
      ['p · drift', 'bad'],
      ['p · rule', 'new old hint'],
      ['the appliance · bottleneck', 'own'],
    ],
  );
});

test('evidence is an address of this page', () => {
  assert.equal(evidence(alert('a', { evidence: '#/asset/p/a?to=5' })), '#/asset/p/a?to=5');
  assert.equal(evidence(alert('a', { evidence: '/cameras/x' })), '#/cameras/x'.replace('#/', '#'));
  assert.equal(evidence(alert('a', { evidence: 'https://other/x' })), 'https://other/x');
  assert.equal(evidence(alert('a')), null);
});

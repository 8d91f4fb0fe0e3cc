package clickhouse

import (
	"testing"
	"time"

	"andon/event"
)

func TestAlertsAreStored(t *testing.T) {
	s := sharedStore(t)
	at := time.Date(2026, 11, 1, 8, 0, 0, 123_456_000, time.UTC)
	m := &event.Matter{ID: "p/rule/press-1", Pipeline: "p", Kind: event.AlertRule, Severity: event.SeverityCritical, State: event.MatterFiring, Title: "it's hot", Detail: "cool\nit", Asset: "press-1",
		Labels: map[string]string{"line": "north", "zone": "b"}, Evidence: "#/asset/p/press-1", Since: at.Add(-time.Minute), First: at, Changed: at}
	over := m.Clone()
	over.State, over.Changed = event.MatterResolved, at.Add(time.Hour)
	other := m.Clone()
	other.ID, other.Labels = "p/rule/press-2", nil
	if err := s.WriteAlerts(t.Context(), []event.MatterChange{{Matter: m, What: event.ChangedFired, Who: "andon"}, {Matter: other, What: event.ChangedFired, Who: "andon"},
		{Matter: over, What: event.ChangedResolved, Who: "eva", Comment: "new pump"}}); err != nil {
		t.Fatal(err)
	}
	equal(t, "rows", ask(t, s, "SELECT what, id, severity, title, detail, labels['zone'], length(labels), since, who, comment FROM alerts ORDER BY id, time"),
		"fired p/rule/press-1 critical it's hot cool\nit b 2 2026-11-01T07:59:00.123456Z andon \n"+
			"resolved p/rule/press-1 critical it's hot cool\nit b 2 2026-11-01T07:59:00.123456Z eva new pump\n"+
			"fired p/rule/press-2 critical it's hot cool\nit  0 2026-11-01T07:59:00.123456Z andon ")
	equal(t, "open", ask(t, s, "SELECT id, since, last_change FROM open_alerts"), "p/rule/press-2 2026-11-01T07:59:00.123456Z 2026-11-01T08:00:00.123456Z")
	if err := s.WriteDeliveries(t.Context(), []event.Delivery{
		{Time: at.UnixNano(), Receiver: "ops", Group: "ops/0:{}", Notice: "N1", Matters: []string{m.ID, other.ID}, Try: 1, State: event.ToldPending, Latency: 5, Age: 7, Error: "away"},
		{Time: at.UnixNano() + 1000, Receiver: "ops", Group: "ops/0:{}", Notice: "N1", Try: 2, State: event.ToldDelivered},
	}); err != nil {
		t.Fatal(err)
	}
	equal(t, "tries", ask(t, s, "SELECT receiver, group_key, notice, ids, try, state, latency_ns, age_ns, error FROM alert_deliveries ORDER BY time"),
		"ops ops/0:{} N1 [p/rule/press-1 p/rule/press-2] 1 pending 5 7 away\nops ops/0:{} N1 [] 2 delivered 0 0 ")
}

package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"andon/event"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ear is a receiver that remembers what it was told, and may be deaf.
type ear struct {
	mu    sync.Mutex
	deaf  error
	slow  time.Duration
	tries int
	heard []*Notice
	every time.Duration
}

func (e *ear) send(ctx context.Context, n *Notice) error {
	if e.slow > 0 {
		select {
		case <-time.After(e.slow):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tries++
	if e.deaf != nil {
		return e.deaf
	}
	e.heard = append(e.heard, n)
	return nil
}
func (e *ear) refresh() time.Duration { return e.every }
func (e *ear) close()                 {}

func (e *ear) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deaf = err
}

// said returns what was heard since the last call, as "firing a, resolved b" a notice.
func (e *ear) said() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for _, n := range e.heard {
		var parts []string
		for _, m := range n.Matters {
			parts = append(parts, m.State+" "+m.ID)
		}
		all = append(all, strings.Join(parts, ", "))
	}
	e.heard = nil
	return all
}

// rig is a desk with ears, running.
type rig struct {
	t    *testing.T
	desk *Desk
	ears map[string]*ear
	stop func()
}

func newRig(t *testing.T, cfg Config, deps Deps, names ...string) *rig {
	t.Helper()
	for _, n := range names {
		if !strings.Contains(n, "=") {
			cfg.Receivers = append(cfg.Receivers, Receiver{Name: n, Webhook: &Webhook{HTTP: HTTP{URL: "http://unused"}}})
		}
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, desk: New(cfg, slog.New(slog.DiscardHandler), nil), ears: map[string]*ear{}}
	for _, x := range r.desk.receivers {
		e := &ear{}
		r.ears[x.cfg.Name] = e
		x.sender.close()
		x.sender = e
	}
	if err := r.desk.Open(t.Context(), deps); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.desk.Run(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

func fire(id, severity string) event.Alert {
	return event.Alert{ID: id, Pipeline: "p", Kind: event.AlertRule, Severity: severity, Title: "T " + id}
}

func over(id string) event.Alert {
	a := fire(id, event.SeverityWarning)
	a.Resolved = true
	return a
}

func (r *rig) want(name string, want ...string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.ears[name].said(); fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("%s heard %q, want %q", name, got, want)
	}
}

func TestMatterLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Default(), Deps{}, "ops")
		r.desk.Raise(fire("a", event.SeverityCritical))
		r.want("ops", "firing a") // at once
		r.desk.Raise(fire("a", event.SeverityCritical))
		time.Sleep(2 * time.Minute)
		r.want("ops") // the same matter is not told again
		r.desk.Raise(fire("b", event.SeverityWarning))
		r.desk.Raise(fire("c", event.SeverityWarning))
		time.Sleep(2 * time.Second)
		r.want("ops", "firing b, firing c, firing a") // the group's interval is over; the newest first
		r.desk.Raise(fire("d", event.SeverityWarning))
		time.Sleep(50 * time.Second)
		r.want("ops")
		time.Sleep(10 * time.Second)
		r.want("ops", "firing d, firing a, firing b, firing c")
		r.desk.Raise(over("b"))
		r.desk.Raise(over("unknown"))
		time.Sleep(time.Minute)
		r.want("ops", "resolved b, firing a, firing c, firing d")
		for _, id := range []string{"a", "c", "d"} {
			r.desk.Raise(over(id))
		}
		time.Sleep(time.Minute)
		r.want("ops", "resolved a, resolved c, resolved d")
		time.Sleep(6 * time.Hour)
		r.want("ops")
		if list, all := r.desk.List(Filter{State: "resolved"}); all != 4 || list[0].Told["ops"].State != event.ToldDelivered || list[0].Told["ops"].Firing {
			t.Errorf("%d: %+v", all, list)
		}
		time.Sleep(7 * 24 * time.Hour)
		if _, all := r.desk.List(Filter{}); all != 0 {
			t.Errorf("%d are kept for ever", all)
		}
	})
}

// A receiver that is away for ten minutes is tried at most 20 times, however many groups and changes there are, and hears the newest state once.
func TestOutage(t *testing.T) {
	for seed := range 20 {
		synctest.Test(t, func(t *testing.T) {
			cfg := Default()
			cfg.GroupBy = []string{"asset"}
			r := newRig(t, cfg, Deps{}, "ops")
			ops := r.ears["ops"]
			ops.fail(errors.New("connection refused"))
			for i := range 30 { // thirty groups, a new one every 20 s, every fourth of them critical
				a := fire(fmt.Sprint("m", i), event.SeverityWarning)
				if i%4 == 0 {
					a.Severity = event.SeverityCritical
				}
				a.Asset = a.ID
				r.desk.Raise(a)
				time.Sleep(20 * time.Second)
				if i%3 == 1 {
					r.desk.Raise(over(a.ID))
				}
			}
			synctest.Wait()
			if ops.tries < 5 || ops.tries > 20 {
				t.Errorf("seed %d: %d tries in ten minutes", seed, ops.tries)
			}
			ops.fail(nil)
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			heard := map[string]int{}
			for _, n := range ops.heard {
				for _, m := range n.Matters {
					heard[m.ID]++
					if m.State != m.Clone().State {
						t.Error("state")
					}
				}
			}
			list, _ := r.desk.List(Filter{})
			for _, m := range list {
				want := 1
				if m.State == event.MatterResolved && heard[m.ID] == 0 { // it came and went before anybody was told
					want = 0
				}
				if heard[m.ID] != want {
					t.Errorf("%s (%s) was told %d times", m.ID, m.State, heard[m.ID])
				}
			}
			if len(heard) < 20 {
				t.Errorf("only %d were told", len(heard))
			}
		})
	}
}

func TestRefusedIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Default(), Deps{}, "ops")
		ops := r.ears["ops"]
		ops.fail(&refusal{errors.New("400 Bad Request: no such field")})
		r.desk.Raise(fire("a", event.SeverityCritical))
		synctest.Wait()
		m, tries, err := r.desk.Get("a")
		if err != nil || m.Told["ops"].State != event.ToldDead || !strings.Contains(m.Told["ops"].Error, "no such field") || len(tries) != 1 {
			t.Fatalf("%+v %+v %v", m, tries, err)
		}
		if dead, _ := r.desk.List(Filter{State: "dead"}); len(dead) != 1 {
			t.Errorf("%d dead", len(dead))
		}
		time.Sleep(time.Hour)
		if ops.tries != 1 {
			t.Errorf("%d tries of what is refused", ops.tries)
		}
		ops.fail(nil)
		if _, err := r.desk.Resend("a", "me"); err != nil {
			t.Fatal(err)
		}
		r.want("ops", "firing a")
		if _, err := r.desk.Resend("a", "me"); !errors.Is(err, ErrAsk) {
			t.Errorf("resent what is not dead: %v", err)
		}
		// A receiver that never comes back is given up, too.
		ops.fail(errors.New("away"))
		r.desk.Raise(over("a"))
		time.Sleep(25 * time.Hour)
		if m, _, _ = r.desk.Get("a"); m.Told["ops"].State != event.ToldDead {
			t.Errorf("%+v", m.Told)
		}
	})
}

func TestPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		cfg.Repeat = time.Hour
		r := newRig(t, cfg, Deps{}, "ops")
		r.desk.Raise(fire("a", event.SeverityWarning))
		time.Sleep(10 * time.Second)
		r.want("ops", "firing a")
		time.Sleep(time.Hour + time.Second)
		r.want("ops", "firing a") // told once more
		if _, err := r.desk.Ack("a", "eva", "on it", time.Now().Add(3*time.Hour)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3*time.Hour - time.Minute)
		r.want("ops")
		time.Sleep(2 * time.Minute)
		r.want("ops", "firing a") // the acknowledgement is over
		if _, err := r.desk.Ack("a", "eva", "", time.Time{}); err != nil {
			t.Fatal(err)
		}
		r.desk.Raise(fire("a", event.SeverityCritical)) // it gets worse
		r.want("ops", "firing a")
		if _, err := r.desk.Snooze("a", "eva", "lunch", time.Now().Add(30*time.Minute)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Minute)
		r.want("ops")
		time.Sleep(2 * time.Minute)
		r.want("ops", "firing a")
		if _, err := r.desk.Resolve("a", "eva", "replaced the pump"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r.want("ops", "resolved a")
		for _, err := range []error{
			second(r.desk.Ack("a", "eva", "", time.Time{})), second(r.desk.Snooze("a", "eva", "", time.Now())), second(r.desk.Ack("a", "", "", time.Time{})),
		} {
			if !errors.Is(err, ErrAsk) {
				t.Errorf("%v", err)
			}
		}
		if _, err := r.desk.Ack("none", "eva", "", time.Time{}); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v", err)
		}
		// A silence keeps it from the receivers and shows it all the same.
		s, err := r.desk.Silence(map[string]string{"pipeline": "p|q", "kind": "*"}, "eva", "maintenance", time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		r.desk.Raise(fire("b", event.SeverityCritical))
		time.Sleep(30 * time.Minute)
		r.want("ops")
		if m, _, _ := r.desk.Get("b"); m.Silenced != s.ID {
			t.Errorf("%+v", m)
		}
		if err := r.desk.Unsilence(s.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		r.want("ops", "firing b")
	})
}

func second[T any](_ T, err error) error { return err }

func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Default(), Deps{}, "ops")
		for range 30 {
			r.desk.Raise(fire("a", event.SeverityCritical))
			time.Sleep(5 * time.Second)
			r.desk.Raise(over("a"))
			time.Sleep(5 * time.Second)
		}
		synctest.Wait()
		if n := len(r.ears["ops"].said()); n > 8 {
			t.Errorf("%d notices of what comes and goes", n)
		}
		m, _, err := r.desk.Get("a")
		if err != nil || !m.Flapping || m.State != event.MatterFiring || m.Fired < 20 {
			t.Fatalf("%+v %v", m, err)
		}
		time.Sleep(5 * time.Minute)
		r.want("ops", "resolved a")
	})
}

func TestRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		zero := time.Duration(0)
		cfg.Routes = []Route{
			{Match: map[string]string{"severity": "critical"}, Receivers: []string{"pager"}, Continue: true},
			{Match: map[string]string{"line": "north|south"}, Receivers: []string{"plant"}, GroupBy: []string{"line"}, GroupWait: &zero},
			{Receivers: []string{"all"}},
		}
		r := newRig(t, cfg, Deps{}, "pager", "plant", "all")
		a := fire("a", event.SeverityCritical)
		a.Labels = map[string]string{"line": "north"}
		r.desk.Raise(a)
		r.desk.Raise(fire("b", event.SeverityInfo))
		time.Sleep(10 * time.Second)
		r.want("pager", "firing a")
		r.want("plant", "firing a")
		r.want("all", "firing b")
		a.Severity = event.SeverityWarning // the pager does not match any more, and learns of the end all the same
		r.desk.Raise(a)
		a.Resolved = true
		r.desk.Raise(a)
		time.Sleep(2 * time.Minute)
		r.want("pager", "resolved a")
	})
}

func TestInboxKeepsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		d := New(cfg, slog.New(slog.DiscardHandler), nil)
		var wait sync.WaitGroup
		for g := range 8 {
			wait.Go(func() {
				for i := range 2000 {
					a := fire(fmt.Sprint("m", (i*8+g)%100), event.SeverityWarning)
					a.Time, a.Title = int64(1_000_000+i*8+g), fmt.Sprint(i*8+g)
					d.Raise(a)
				}
			})
		}
		wait.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		synctest.Wait()
		list, all := d.List(Filter{})
		if all != 100 {
			t.Fatalf("%d matters", all)
		}
		for _, m := range list {
			var n, id int
			fmt.Sscan(m.Title, &n)
			fmt.Sscanf(m.ID, "m%d", &id)
			if n%100 != id || n < 15_900 {
				t.Errorf("%s is as of %s", m.ID, m.Title)
			}
		}
		cancel()
		<-done
	})
}

// An Alertmanager forgets what it is not told of again, also what is acknowledged.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		cfg.Repeat = 0
		r := newRig(t, cfg, Deps{}, "am")
		r.ears["am"].every = time.Minute
		r.desk.Raise(fire("a", event.SeverityCritical))
		synctest.Wait()
		if _, err := r.desk.Ack("a", "eva", "", time.Time{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5*time.Minute + time.Second)
		if n := len(r.ears["am"].said()); n != 6 {
			t.Errorf("told %d times in five minutes", n)
		}
	})
}

// lost is a journal whose brokers are away.
type lost struct{}

func (lost) Append(ctx context.Context, _ string, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}
func (lost) Past(context.Context) ([][]byte, error) { return nil, nil }
func (lost) Follow(ctx context.Context, _ func([]byte), _ time.Duration, _ func()) error {
	<-ctx.Done()
	return nil
}

// A replica that does not lead, and cannot ask the one that does, tells what is critical itself.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Default(), Deps{Journal: lost{}, Lead: func(ctx context.Context, _ func(bool)) error { <-ctx.Done(); return nil }}, "ops")
		r.desk.Raise(fire("a", event.SeverityCritical))
		r.desk.Raise(fire("b", event.SeverityWarning))
		time.Sleep(30 * time.Second)
		r.want("ops", "firing a")
		time.Sleep(10 * time.Minute)
		r.want("ops")
	})
}

// A word of a person counts though the matter was told of again before it came to the replica that leads.
func TestWordsThatCrossAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Default(), Deps{}, "ops")
		r.desk.Raise(fire("a", event.SeverityCritical))
		r.want("ops", "firing a")
		at := time.Now().UTC()
		ask := func(what, who string, at time.Time) {
			r.desk.mu.Lock()
			defer r.desk.mu.Unlock()
			r.desk.doLocked(&request{Act: &act{ID: "a", What: what, Who: who, At: at}}, "about", time.Now())
		}
		time.Sleep(time.Second)
		r.desk.Raise(fire("a", event.SeverityCritical))
		time.Sleep(time.Second)
		state := func() string {
			m, _, err := r.desk.Get("a")
			if err != nil {
				t.Fatal(err)
			}
			if m.Ack == nil {
				return m.State
			}
			return m.State + " " + m.Ack.Who
		}
		ask(actResolve, "eva", at) // of what was before
		if got := state(); got != event.MatterFiring {
			t.Error(got)
		}
		ask(actAck, "eva", at)
		if got := state(); got != event.MatterFiring+" eva" {
			t.Error(got)
		}
		ask(actUnack, "eva", at.Add(time.Minute))
		ask(actAck, "eva", at) // heard once more
		if got := state(); got != event.MatterFiring {
			t.Error(got)
		}
	})
}

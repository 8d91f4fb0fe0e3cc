package absence

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"andon/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plant is a pipeline p of some assets, with a watch that runs.
type plant struct {
	t      *testing.T
	w      *Watch
	seats  []*Seat
	said   []string
	last   event.Alert
	behind bool
	event  int64
}

func newPlant(t *testing.T, cfg Config, where string, open ...*event.Matter) *plant {
	p := &plant{t: t}
	p.w = New(map[string]Config{"p": cfg}, func(a event.Alert) {
		what := strings.TrimPrefix(a.ID, "p/") + ": " + a.Labels[labelAssets]
		if a.Resolved {
			what = strings.TrimPrefix(a.ID, "p/") + " over"
		}
		p.said, p.last = append(p.said, what), a
	}, func() []*event.Matter { return open }, func() func(string, int32) bool { return func(string, int32) bool { return p.behind } }, where, slog.New(slog.DiscardHandler))
	p.seats = []*Seat{p.w.Sit("p", 0)}
	go func() { _ = p.w.Run(t.Context()) }()
	return p
}

// sends has assets send once, to the partition.
func (p *plant) sends(partition int, assets ...string) {
	p.event++
	b := &event.Batch{}
	for _, a := range assets {
		b.Rows = append(b.Rows, event.Row{Asset: a, Time: p.event})
	}
	p.seats[partition].Begin(b)
	p.seats[partition].End()
}

// run has those that who names for a second send, second by second.
func (p *plant) run(seconds int, who func(s int) []string) {
	for s := range seconds {
		p.sends(0, who(s)...)
		time.Sleep(time.Second)
	}
}

func (p *plant) want(want ...string) {
	p.t.Helper()
	synctest.Wait()
	if !slices.Equal(p.said, want) {
		p.t.Errorf("%q, want %q", p.said, want)
	}
	p.said = nil
}

func all(names ...string) func(int) []string { return func(int) []string { return names } }

func TestOneStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, Default(), "")
		p.run(60, all("a", "b", "c"))
		p.run(50, all("a", "c"))
		p.want() // not yet a minute
		p.run(30, all("a", "c"))
		p.want("absent: b")
		if a := p.last; a.Asset != "b" || a.Evidence != "#/asset/p/b" || !strings.Contains(a.Title, "b of p sends nothing") || a.Severity != event.SeverityWarning {
			t.Errorf("%+v", a)
		}
		p.run(80, all("a"))
		p.want("absent: b, c")
		p.run(60, all("a", "b"))
		p.want("absent: c")
		p.run(60, all("a", "b", "c"))
		p.want("absent over")
	})
}

// Each is missed by its own measure: one that sends each ten minutes is silent for a minute without a word.
func TestOwnRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, Default(), "")
		slow := func(s int) []string {
			if s%600 == 0 {
				return []string{"fast", "slow"}
			}
			return []string{"fast"}
		}
		p.run(12*600, slow)
		p.want()
		p.run(39*60, all("fast"))
		p.want()
		p.run(5*60, all("fast"))
		p.want("absent: slow")
	})
}

// Who sends sixty rows each hour, one right after the other, is regular.
func TestBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, Default(), "")
		burst := func(s int) []string {
			if s%3600 < 60 {
				return []string{"a", "b"}
			}
			return []string{"a"}
		}
		p.run(24*3600, burst)
		synctest.Wait()
		if slices.Contains(p.said[min(len(p.said), 8):], "absent: b") {
			t.Errorf("%q", p.said)
		}
	})
}

func TestTheWholeSourceStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, Default(), "here")
		names := make([]string, 500)
		for i := range names {
			names[i] = fmt.Sprint("m", i)
		}
		// They send in turns, so some came later than others.
		turns := func(s int) []string { return names[s%10*50 : s%10*50+50] }
		p.run(300, turns)
		time.Sleep(10 * time.Minute)
		p.want("absent/source/here: ")
		p.run(100, turns)
		p.want("absent/source/here over")
	})
}

func TestTheOnlyOneStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, Default(), "")
		p.run(60, all("machine"))
		time.Sleep(90 * time.Second)
		p.want("absent: machine")
		p.run(20, all("machine"))
		p.want("absent over")
	})
}

// Who has ended its life is not missed, but again once something newer comes.
func TestRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		cfg.Except = "^spare"
		p := newPlant(t, cfg, "")
		p.run(60, all("a", "b", "spare-1"))
		p.w.Retire("p", "b", p.event)
		p.w.Retire("p", "a", p.event-10) // of an earlier life
		p.w.Retire("other", "a", p.event)
		p.run(200, all("a"))
		p.want()
		p.run(20, all("a", "b"))
		p.run(100, all("a"))
		p.want("absent: b")
		p.w.Retire("p", "b", p.event)
		p.run(20, all("a"))
		p.want("absent over")
	})
}

func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		cfg.Forget = time.Hour
		p := newPlant(t, cfg, "")
		p.run(60, all("a", "b"))
		p.run(3700, all("a"))
		p.want("absent: b", "absent over")
		if n := p.w.all["p"].count.Load(); n != 1 || len(p.seats[0].assets) != 1 {
			t.Errorf("%d assets are counted, %d kept", n, len(p.seats[0].assets))
		}
	})
}

// A backlog, and a store that holds the line up, say nothing about who sends.
func TestBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, Default(), "")
		p.run(60, all("a", "b"))
		synctest.Wait()
		p.behind = true
		p.run(300, all("a"))
		synctest.Wait()
		p.behind = false
		p.run(40, all("a"))
		p.want()
		p.run(60, all("a", "b"))
		p.seats[0].Hold()
		time.Sleep(10 * time.Minute)
		p.seats[0].End()
		p.run(60, all("a", "b"))
		p.want()
	})
}

// A partition that goes to another replica takes its assets along; who was missed is missed until it comes, also after a restart.
func TestPartitionsMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, Default(), "")
		p.seats = append(p.seats, p.w.Sit("p", 1))
		for range 60 {
			p.sends(0, "a")
			p.sends(1, "b", "c")
			time.Sleep(time.Second)
		}
		for range 90 {
			p.sends(0, "a")
			p.sends(1, "b")
			time.Sleep(time.Second)
		}
		p.want("absent: c")
		p.seats[1].Close()
		p.run(300, all("a"))
		p.want()
		p.seats[1] = p.w.Sit("p", 1)
		p.sends(1, "c")
		p.run(20, all("a"))
		p.want("absent over")
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, Default(), "", &event.Matter{ID: "p/absent", Pipeline: "p", Labels: map[string]string{labelAssets: "b, c"}, Since: time.Now()},
			&event.Matter{ID: "p/absent/source", Pipeline: "p", Labels: map[string]string{labelSource: "all"}}, &event.Matter{ID: "gone/absent", Pipeline: "gone"},
			&event.Matter{ID: "p/absent/there", Pipeline: "p", Labels: map[string]string{labelAssets: "x", labelReplica: "there"}})
		p.run(60, all("a"))
		p.want("gone/absent over", "absent/source over")
		p.run(60, all("a", "b", "c"))
		p.want("absent over")
	})
}

func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, Default(), "")
		b := &event.Batch{}
		for i := range most + 10 {
			b.Rows = append(b.Rows, event.Row{Asset: fmt.Sprint(i), Time: 1})
		}
		p.seats[0].Begin(b)
		p.seats[0].End()
		if n := len(p.seats[0].assets); n != most {
			t.Errorf("%d assets are kept", n)
		}
		p.seats[0].Close()
		if n := p.w.all["p"].count.Load(); n != 0 {
			t.Errorf("%d assets are counted after all", n)
		}
	})
}

func TestOff(t *testing.T) {
	w := New(map[string]Config{"p": {}}, nil, nil, nil, "", nil)
	s := w.Sit("p", 0)
	s.Begin(&event.Batch{Frames: []event.Frame{{}}})
	s.Hold()
	s.End()
	s.Close()
	w.Retire("p", "a", 1)
	if s != nil {
		t.Error("a seat where nobody is missed")
	}
}

func TestValidate(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Times = 0
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c = Config{Times: 1, Floor: time.Second, Except: "(", Severity: "loud"}
	err := c.Validate()
	for _, key := range []string{"times: ", "floor: ", "forget: ", "except: ", "severity: "} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("no %s in %v", key, err)
		}
	}
}

// BenchmarkBegin is what a batch of 500 rows of 100 assets costs the line.
func BenchmarkBegin(b *testing.B) {
	w := New(map[string]Config{"p": Default()}, nil, nil, nil, "", nil)
	s := w.Sit("p", 0)
	batch := &event.Batch{}
	for i := range 500 {
		batch.Rows = append(batch.Rows, event.Row{Asset: fmt.Sprint("compressor-", i%100), Time: int64(i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Begin(batch)
		s.End()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/row")
}

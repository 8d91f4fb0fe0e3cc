package console

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"

	"andon/event"
)

// TestPageLogic runs the unit tests of the page's own logic.
func TestPageLogic(t *testing.T) {
	needs(t, "node", "npm")
	needsFile(t, "ui/node_modules/typescript")
	run(t, nil, "npm", "--silent", "--prefix", "ui", "test")
}

// TestBrowser lets a real browser open the built page on a plant that runs, and does with it what a person does; what it must find is in ui/e2e.
// With ANDON_SHOTS=DIR it leaves pictures of each page there.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is not short")
	}
	needs(t, "node")
	browser := needsBrowser(t)
	needsFile(t, "ui/node_modules/playwright-core")
	if _, err := fs.Stat(dist, "ui/dist/index.html"); err != nil {
		missing(t, "the console's page is not built: run make ui, then the test again")
	}
	a := newAppliance(t, syntheticConfig(), 100)
	a.reg.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.past(900)
	a.dead.WithLabelValues("compressors", "malformed").Add(51)
	a.dead.WithLabelValues("compressors", "late").Add(24)
	a.letters()
	a.steps = finishedRun("compressors", 5)
	models := newCabinet()
	models.changed = a.Decided
	a.deps.Loop, a.deps.Models, a.deps.Evaluations = models, models, models
	a.Frames(shelf{}, map[string]Eye{"dock": {Zones: []Zone{{Name: "z", Polygon: [][2]float32{{0, 0}, {1, 0}, {1, 1}}}}}}, func(string) []string { return []string{"helmet", "vest"} })
	a.bells()
	a.start(t)

	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	t.Cleanup(func() { cancel(); work.Wait() })
	every := func(d time.Duration, do func(n int) bool) {
		work.Add(1)
		go func() {
			defer work.Done()
			tick := time.NewTicker(d)
			defer tick.Stop()
			for n := 0; do(n); n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		}()
	}
	every(150*time.Millisecond, func(int) bool { a.step(); return true })

	every(time.Second, func(n int) bool { a.film(n); return true })

	// The test's hands on the plant.
	hands := http.NewServeMux()
	var mayEnd atomic.Bool // a training waits in its middle until the test has seen it
	hands.HandleFunc("POST /finish", func(http.ResponseWriter, *http.Request) { mayEnd.Store(true) })
	hands.HandleFunc("POST /train", func(w http.ResponseWriter, r *http.Request) {
		a.setModel(0, "")
		began := time.Now()
		const epochs = 40
		n := -1
		every(250*time.Millisecond, func(int) bool {
			if n < epochs/2 || mayEnd.Load() {
				n++
			}
			tr := event.Training{Run: "compressors-live", Pipeline: "compressors", State: event.TrainingEpoch, Epoch: n, Epochs: epochs, Rows: 17_731,
				Loss: math.NaN(), ValLoss: math.NaN(), Elapsed: int64(time.Since(began)), Time: time.Now().UnixNano(), Detail: "first model: 100 assets with a failure"}
			switch {
			case n == 0:
				tr.State = event.TrainingStarted
			case n > epochs:
				tr.State, tr.Epoch, tr.Version = event.TrainingFinished, epochs, "c0ffee15600d"
				a.setModel(0, tr.Version)
			default:
				tr.Loss, tr.ValLoss, tr.RowsPerSecond = losses(n), losses(n)*1.2+0.01*math.Sin(float64(n)), 48_000+800*math.Sin(float64(n))
			}
			a.Training(tr)
			return n <= epochs
		})
	})
	wire := newWire(t, a.addr)
	hands.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) { wire.cut(true) })
	hands.HandleFunc("POST /mend", func(http.ResponseWriter, *http.Request) { wire.cut(false) })
	control := httptest.NewServer(hands)
	defer control.Close()
	run(t, []string{"ANDON_URL=http://" + wire.addr, "ANDON_HANDS=" + control.URL, "ANDON_BROWSER=" + browser, "ANDON_SHOTS=" + os.Getenv("ANDON_SHOTS")},
		"node", "--test", "--test-reporter=spec", "ui/e2e/console.e2e.js")
}

// wire is a network between the browser and the console that can fail.
type wire struct {
	addr string
	mu   sync.Mutex
	down bool
	ends map[net.Conn]struct{}
}

func newWire(t *testing.T, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), ends: map[net.Conn]struct{}{}}
	var work sync.WaitGroup
	join := func(a, b net.Conn) {
		defer work.Done()
		_, _ = io.Copy(a, b)
		a.Close()
		b.Close()
	}
	work.Add(1)
	go func() {
		defer work.Done()
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil || !w.carry(near, far) {
				near.Close()
				continue
			}
			work.Add(2)
			go join(near, far)
			go join(far, near)
		}
	}()
	t.Cleanup(func() { l.Close(); w.cut(true); work.Wait() })
	return w
}

func (w *wire) carry(near, far net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		far.Close()
		return false
	}
	w.ends[near], w.ends[far] = struct{}{}, struct{}{}
	return true
}

// cut ends what goes on and refuses what is new, until it is mended.
func (w *wire) cut(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
	if down {
		for c := range w.ends {
			c.Close()
		}
		clear(w.ends)
	}
}

func (a *appliance) setModel(pipeline int, version string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.Pipelines[pipeline].Model, a.status.Pipelines[pipeline].Trained = version, time.Now()
}

func losses(epoch int) float64 { return 0.05 + 1.1*math.Exp(-float64(epoch)/6) }

// finishedRun is a run that the store remembers.
func finishedRun(pipeline string, hoursAgo int) []event.Training {
	began := time.Now().Add(-time.Duration(hoursAgo) * time.Hour)
	var steps []event.Training
	for n := range 31 {
		at := began.Add(time.Duration(n) * 4 * time.Second)
		t := event.Training{Run: pipeline + "-20200101", Pipeline: pipeline, State: event.TrainingEpoch, Epoch: n + 1, Epochs: 30, Loss: losses(n + 1), ValLoss: 1.1*losses(n+1) + 0.02,
			RowsPerSecond: 47_500, Rows: 16_044, Elapsed: int64(at.Sub(began)), Time: at.UnixNano(), Detail: "first model"}
		if n == 30 {
			t.State, t.Epoch, t.Version = event.TrainingFinished, 30, "3f9a1c77b2e0"
		}
		steps = append(steps, t)
	}
	return steps
}

// run runs a program and shows what it says when it fails.
func run(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	t.Logf("%s", out)
}

// missing skips the test where a person works, and fails it where nothing may be skipped.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, fmt.Sprintf("%s is not installed: install Node.js 20 or newer with npm", p))
		}
	}
}

func needsFile(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		missing(t, fmt.Sprintf("console/%s is missing: run make deps", path))
	}
}

func needsBrowser(t *testing.T) string {
	t.Helper()
	for _, b := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(b); err == nil {
			return path
		}
	}
	missing(t, "Chromium is not installed: run make deps")
	return ""
}

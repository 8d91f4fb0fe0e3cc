// Command alerts measures how long an alarm takes to a webhook: from Desk.Raise to the receiver's handler, over loopback HTTP, with the desk as the appliance has it but for the
// journal and the store, which follow a delivery and never hold it up.
//
//	go run ./bench/alerts [-seconds 20] [-rate 50] [-noise 2000]
//
// It runs two phases: idle, one critical alarm at a time; and under load, with critical alarms at a rate beside other alerts that are raised all the time and cores that are
// busy. Each alarm is a group of its own, so none waits for another. It ends with 1 where the 99th percentile under load is above a second.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"andon/event"
	"andon/sinks/alerts"
)

func main() {
	seconds := flag.Int("seconds", 20, "of each phase")
	rate := flag.Int("rate", 50, "critical alarms a second under load")
	noise := flag.Int("noise", 2000, "other alerts a second under load")
	flag.Parse()
	if err := run(*seconds, *rate, *noise); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// ears take notices and note when each alarm came first.
type ears struct {
	mu    sync.Mutex
	begun map[string]time.Time
	took  []time.Duration
	again int
}

func (e *ears) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	now := time.Now()
	var n struct {
		Alerts []struct {
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	if json.NewDecoder(r.Body).Decode(&n) != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range n.Alerts {
		id := a.Labels["id"]
		if a.Labels["severity"] != event.SeverityCritical {
			continue
		}
		if at, ok := e.begun[id]; ok {
			e.took = append(e.took, now.Sub(at))
			delete(e.begun, id)
		} else {
			e.again++
		}
	}
}

func (e *ears) raise(d *alerts.Desk, id string) {
	e.mu.Lock()
	e.begun[id] = time.Now()
	e.mu.Unlock()
	d.Raise(event.Alert{ID: id, Pipeline: "bench", Kind: event.AlertRule, Severity: event.SeverityCritical, Title: id, Asset: id})
}

// report writes one phase, and returns its 99th percentile.
func (e *ears) report(phase string) (time.Duration, error) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		e.mu.Lock()
		left := len(e.begun)
		e.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("%s: %d alarms never came", phase, left)
		}
		time.Sleep(time.Millisecond)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	slices.Sort(e.took)
	at := func(q float64) time.Duration {
		return e.took[min(len(e.took)-1, int(q*float64(len(e.took))))].Round(10 * time.Microsecond)
	}
	fmt.Printf("%-6s %6d alarms, each once (%d twice): p50 %v, p99 %v, max %v\n", phase, len(e.took), e.again, at(0.5), at(0.99), at(1))
	p99 := at(0.99)
	e.took = nil
	return p99, nil
}

func run(seconds, rate, noise int) error {
	e := &ears{begun: map[string]time.Time{}}
	server := httptest.NewServer(e)
	defer server.Close()
	cfg := alerts.Default()
	cfg.GroupBy, cfg.Most = []string{"asset"}, 1_000_000
	cfg.Receivers = []alerts.Receiver{{Name: "hook", Webhook: &alerts.Webhook{HTTP: alerts.HTTP{URL: alerts.Secret(server.URL)}, Secret: "bench"}}}
	if err := cfg.Validate(); err != nil {
		return err
	}
	d := alerts.New(cfg, slog.New(slog.DiscardHandler), nil)
	if err := d.Open(context.Background(), alerts.Deps{}); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	defer wait.Wait()
	defer stop()
	wait.Go(func() { _ = d.Run(ctx) })
	for i := range seconds * 10 {
		e.raise(d, fmt.Sprint("idle-", i))
		time.Sleep(100 * time.Millisecond)
	}
	if _, err := e.report("idle"); err != nil {
		return err
	}
	over, end := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer end()
	for range runtime.GOMAXPROCS(0) { // the line at work
		wait.Go(func() {
			x := uint64(1)
			for over.Err() == nil {
				for range 100_000 {
					x = x*6364136223846793005 + 1442695040888963407
				}
			}
		})
	}
	wait.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 0; over.Err() == nil; {
			<-tick.C
			for range noise / 100 {
				i++
				d.Raise(event.Alert{ID: fmt.Sprint("noise-", i%500), Pipeline: "bench", Kind: event.AlertDrift, Severity: event.SeverityWarning, Title: "noise", Asset: fmt.Sprint(i % 20), Resolved: i/500%2 == 1})
			}
		}
	})
	for i := 0; over.Err() == nil; i++ {
		e.raise(d, fmt.Sprint("load-", i))
		time.Sleep(time.Second / time.Duration(rate))
	}
	p99, err := e.report("load")
	if err == nil && p99 > time.Second {
		err = fmt.Errorf("the 99th percentile under load is %v, more than a second", p99)
	}
	return err
}

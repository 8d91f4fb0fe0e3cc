package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// stage is the cast: A with broker and ClickHouse, B behind two proxies, and what strikes them.
type stage struct {
	dir      string
	broker   string
	a, b     *appliance
	toBroker *proxy
	toStore  *proxy
	watch    *watch
	wantB    bool
	storeOfB string // the credentials B was started with
	// engineKilled is when A\'s ClickHouse was killed last.
	engineKilled time.Time
	lingering    sync.WaitGroup // the faults that last, lasting of them
	lasting      atomic.Int32
}

// newStage prepares the folders and proxies; nothing of the appliance runs yet.
func newStage(binary, dir string) (*stage, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	s := &stage{dir: dir}
	kafka, err := freePort()
	if err != nil {
		return nil, err
	}
	s.broker = net.JoinHostPort("127.0.0.1", strconv.Itoa(kafka))
	native, err := freePortAfter(kafka)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "andon.yaml")
	for _, name := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "models"), 0o755); err != nil {
			return nil, err
		}
		if err := addModel(filepath.Join(dir, name, "models")); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(config, []byte(configuration(native)), 0o644); err != nil {
		return nil, err
	}
	if s.toBroker, err = newProxy(s.broker, true); err != nil {
		return nil, err
	}
	if s.toStore, err = newProxy(net.JoinHostPort("127.0.0.1", strconv.Itoa(native)), false); err != nil {
		s.toBroker.close()
		return nil, err
	}
	s.a = &appliance{name: "a", binary: binary, dir: filepath.Join(dir, "a"), config: config, args: []string{"--kafka-listen", s.broker}}
	s.b = &appliance{name: "b", binary: binary, dir: filepath.Join(dir, "b"), config: config, args: []string{"--kafka", s.toBroker.addr()}, lenient: true}
	s.watch = &watch{a: s.a}
	return s, nil
}

// close ends everything, in the order that lets B end well.
func (s *stage) close() error {
	s.lingering.Wait()
	s.toBroker.cut(whole)
	s.toStore.cut(whole)
	err := errors.Join(s.b.end(syscall.SIGTERM, 30*time.Second), s.a.end(syscall.SIGTERM, 30*time.Second), s.a.orphans(20*time.Second))
	s.toBroker.close()
	s.toStore.close()
	return err
}

// settle brings A up, and B, if it is wanted, with the password that A's ClickHouse has now.
func (s *stage) settle(ctx context.Context) error {
	if err := errors.Join(s.a.restless(), s.b.restless()); err != nil {
		return err
	}
	at, err := s.firm(ctx)
	if err != nil || !s.wantB {
		return err
	}
	user, err := at.owner()
	if err != nil {
		return err
	}
	dsn := fmt.Sprintf("clickhouse://%s:%s@%s/andon", user.User, user.Password, s.toStore.addr())
	if s.b.up() && s.storeOfB != dsn {
		if err := s.b.end(syscall.SIGKILL, 10*time.Second); err != nil {
			return err
		}
	}
	if !s.b.up() {
		s.storeOfB = dsn
		s.b.mu.Lock()
		s.b.env = []string{"ANDON_CLICKHOUSE=" + dsn}
		s.b.mu.Unlock()
		if err := s.b.start(); err != nil {
			return err
		}
	}
	return nil
}

// firm brings A up, also when it ends while it starts.
func (s *stage) firm(ctx context.Context) (addresses, error) {
	for {
		if err := errors.Join(s.a.restless(), s.a.start()); err != nil {
			return addresses{}, err
		}
		at, err := s.a.ready(ctx)
		if !errors.Is(err, errStillborn) {
			return at, err
		}
	}
}

// strike makes one event happen. What lasts goes on by itself; a process that was killed has been started again, and is perhaps not ready.
func (s *stage) strike(ctx context.Context, e event) error {
	// A static member that has ended holds its partitions for a session.
	alone := func() bool { return !s.wantB && s.lasting.Load() == 0 && s.b.endedFor() > session+2*time.Second }
	begin := func() { s.watch.begin(e.fault, alone()) }
	kill := func() error {
		begin()
		s.b.pardon() // A's ClickHouse makes new passwords when it starts
		if err := s.a.end(syscall.SIGKILL, 10*time.Second); err != nil {
			return err
		}
		return s.a.start()
	}
	killEngines := func(sig syscall.Signal) (pids []int) {
		if sig == syscall.SIGKILL {
			s.a.excuse()
		}
		for _, pid := range s.a.engines() {
			if syscall.Kill(pid, sig) == nil {
				pids = append(pids, pid)
			}
		}
		return pids
	}
	lasts := func(begin, end func()) {
		s.watch.disturb()
		s.lasting.Add(1)
		begin()
		s.lingering.Go(func() {
			defer s.lasting.Add(-1)
			time.Sleep(e.lasts)
			end()
		})
	}
	cut := func(state network, links ...*proxy) {
		lasts(func() { each(links, state) }, func() { each(links, whole) })
	}
	if f := string(e.fault); strings.Contains(f, "-b") && e.fault != addB && e.fault != removeB {
		s.wantB = true
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	switch e.fault {
	case killA:
		return kill()
	case killTwice:
		if err := kill(); err != nil {
			return err
		}
		time.Sleep(e.lasts)
		return kill()
	case killDuringA:
		killEngines(syscall.SIGKILL)
		return kill()
	case termA:
		s.b.pardon()
		begin()
		if err := s.a.end(syscall.SIGTERM, 25*time.Second); err != nil {
			return err
		}
		return s.a.start()
	case stopA:
		begin()
		lasts(func() { s.a.signal(syscall.SIGSTOP) }, func() { s.a.signal(syscall.SIGCONT) })
	case stopB:
		begin()
		lasts(func() { s.b.signal(syscall.SIGSTOP) }, func() { s.b.signal(syscall.SIGCONT) })
	case killEngine:
		// One that dies again soon after its start is made to wait, and that is not what we measure.
		s.watch.begin(e.fault, alone() && time.Since(s.engineKilled) > 15*time.Second)
		s.engineKilled = time.Now()
		killEngines(syscall.SIGKILL)
	case stopEngine:
		var pids []int
		lasts(func() { pids = killEngines(syscall.SIGSTOP) }, func() {
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
		})
	case addB:
		s.wantB = true
		return s.settle(ctx)
	case removeB:
		s.wantB = false
		return s.b.end(syscall.SIGTERM, 25*time.Second)
	case killB:
		begin()
		return s.b.end(syscall.SIGKILL, 10*time.Second)
	case cutBroker:
		cut(refused, s.toBroker)
	case cutStore:
		cut(refused, s.toStore)
	case cutBoth:
		cut(refused, s.toBroker, s.toStore)
	case muteBroker:
		cut(silent, s.toBroker)
	case muteStore:
		cut(silent, s.toStore)
	case muteBoth:
		cut(silent, s.toBroker, s.toStore)
	default:
		return fmt.Errorf("nobody knows how to make %s happen", e.fault)
	}
	return nil
}

func each(links []*proxy, state network) {
	for _, p := range links {
		p.cut(state)
	}
}

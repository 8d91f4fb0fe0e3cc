// Package broker is the embedded Kafka broker: the real protocol on one port, its log on disk, bounded.
//
// It is franz-go's kfake with a data folder, pinned, and what that needs to be relied on: a bound on every topic and on the whole, refusal instead of a full
// disk, repair after a kill, one process a folder, and a door that lets only Kafka requests in. Acknowledged records and committed offsets survive a killed
// process. Not for it: transactions (they do not survive a kill and are refused), compaction, replication, passwords.
//
// Metrics: andon_broker_disk_bytes, andon_broker_free_bytes, andon_broker_refused_total{reason}.
package broker

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
)

// Broker is a running broker. Its methods may be called concurrently.
type Broker struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	lock    *lock
	local   string // host:port for our own connections
	cluster *kfake.Cluster
	free    func(dir string) (int64, error)

	space    space
	arrived  atomic.Int64 // bytes of batches let in
	woken    atomic.Int64 // arrived when the janitor was last woken
	wake     chan struct{}
	refusing atomic.Bool
	unsaved  atomic.Bool // kfake could not write its state

	kept atomic.Pointer[func(topic string, partition int32) (int64, bool)]

	mu     sync.Mutex // guards topics, and that two creations do not spend the same bytes
	topics map[string]struct{}

	closing sync.Mutex // guards closed, and users while it grows
	closed  bool
	users   sync.WaitGroup // those who use the cluster
}

var errClosed = errors.New("the broker is closed")

// Open locks the folder, mends what a kill left, binds the port and answers requests when it returns. Reading the log takes about a second a GiB and, after
// a kill, as much memory as the log is large. Call Run next, and Close when all users are done. reg may be nil.
func Open(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Broker, error) {
	return open(cfg, log, reg, freeBytes)
}

func open(cfg Config, log *slog.Logger, reg prometheus.Registerer, free func(string) (int64, error)) (_ *Broker, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, log: log, free: free, wake: make(chan struct{}, 1), topics: make(map[string]struct{})}
	if err := os.MkdirAll(b.logDir(), 0o755); err != nil {
		return nil, fmt.Errorf("make the broker's folder: %w: choose another with --data", err)
	}
	var undo []func()
	defer func() {
		if err != nil {
			for i := range undo {
				undo[len(undo)-1-i]()
			}
		}
	}()
	if b.lock, err = takeLock(cfg.Dir); err != nil {
		return nil, err
	}
	undo = append(undo, func() { b.lock.release() })
	listener, err := listen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() { listener.Close() })
	b.local = localAddress(listener.Addr())

	clean := b.takeCleanMark()
	if err := repair(b.logDir(), clean); err != nil {
		return nil, fmt.Errorf("mend the log in %s: %w", b.logDir(), err)
	}
	names, err := topicNames(b.logDir())
	if err != nil {
		return nil, fmt.Errorf("read the topics in %s: %w", b.logDir(), err)
	}
	for _, n := range names {
		b.topics[n] = struct{}{}
	}
	used, err := usedBytes(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("measure %s: %w", cfg.Dir, err)
	}
	b.space = space{limit: int64(cfg.MaxBytes), minFree: int64(cfg.MinFree), look: 20 * time.Millisecond, now: time.Now, used: used,
		ask: func() (int64, error) { return free(cfg.Dir) }}

	started := time.Now()
	entry := newDoor(listener, cfg.Advertise, log)
	b.cluster, err = kfake.NewCluster(b.options(entry)...)
	if err != nil {
		return nil, fmt.Errorf("read the log in %s: %w", b.logDir(), err)
	}
	undo = append(undo, b.cluster.Close)
	b.metrics = newMetrics(reg)
	b.metrics.disk.Set(float64(used))
	b.install()
	b.warnOverBudget()
	entry.open()
	if used > 64<<20 {
		debug.FreeOSMemory() // the log went through memory once
	}
	if host, _, err := net.SplitHostPort(b.Addr()); err == nil && !isLoopback(host) {
		log.Warn("the embedded broker has no passwords: whoever reaches this address can read and write all topics", "address", b.Addr())
	}
	log.Info("broker open", "address", b.Addr(), "topics", len(names), "bytes", used, "clean", clean, "took", time.Since(started).Round(time.Millisecond))
	return b, nil
}

// options are kfake's.
func (b *Broker) options(entry *door) []kfake.Opt {
	retention := b.cfg.shareFrom(b.cfg.Partitions, nil)
	opts := []kfake.Opt{
		kfake.Ports(0), // one broker; the port is the listener's
		kfake.ListenFn(func(string, string) (net.Listener, error) { return entry, nil }),
		kfake.DataDir(b.logDir()),
		kfake.ClusterID(newClusterID()), // kept from the first start on
		kfake.WithLogger(ears{b.log, b.logDir(), &b.unsaved}),
		kfake.DefaultNumPartitions(b.cfg.Partitions),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes":   strconv.FormatInt(int64(b.cfg.MaxMessage), 10),
			"log.retention.bytes": strconv.FormatInt(retention.retention, 10),
			"log.retention.ms":    strconv.FormatInt(retention.millis, 10),
			"log.segment.bytes":   strconv.FormatInt(retention.segment, 10),
			// A group's place is kept as long as the data folder: an appliance that was off for a month goes on where it stopped. (100 years.)
			"offsets.retention.minutes": "52560000",
			// The janitor does this; see Run. (10 years.)
			"log.cleaner.backoff.ms": "315360000000",
		}),
	}
	if b.cfg.SyncWrites {
		opts = append(opts, kfake.SyncWrites())
	}
	return opts
}

// Addr returns the host:port that clients use.
func (b *Broker) Addr() string {
	if b.cfg.Advertise != "" {
		return b.cfg.Advertise
	}
	return b.local
}

// Close writes the broker's state and frees the port and the folder. Connections are cut; requests in hand are answered first.
func (b *Broker) Close() error {
	b.closing.Lock()
	if b.closed {
		b.closing.Unlock()
		return nil
	}
	b.closed = true
	b.closing.Unlock()
	b.users.Wait()
	b.cluster.Close()
	var err error
	if !b.unsaved.Load() {
		err = os.WriteFile(b.cleanMark(), nil, 0o644)
	}
	return errors.Join(err, b.lock.release())
}

// enter must succeed before the cluster is used: a closed one blocks for ever.
func (b *Broker) enter() bool {
	b.closing.Lock()
	defer b.closing.Unlock()
	if !b.closed {
		b.users.Add(1)
	}
	return !b.closed
}

func (b *Broker) leave() { b.users.Done() }

func (b *Broker) logDir() string    { return filepath.Join(b.cfg.Dir, "log") }
func (b *Broker) cleanMark() string { return filepath.Join(b.cfg.Dir, "clean") }

// takeCleanMark tells whether the last stop was an orderly one, or there was none. It takes the mark away: from here on a kill is possible.
func (b *Broker) takeCleanMark() bool {
	if err := os.Remove(b.cleanMark()); err == nil {
		return true
	}
	_, err := os.Stat(filepath.Join(b.logDir(), "meta.json"))
	return errors.Is(err, fs.ErrNotExist)
}

func localAddress(a net.Addr) string {
	host, port, _ := net.SplitHostPort(a.String())
	if isUnspecified(host) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func newClusterID() string {
	var id [16]byte
	rand.Read(id[:])
	// The begin tells what kind of broker this is: who needs transactions looks at it. As long as other clusters' ids.
	return "andon-" + base64.RawURLEncoding.EncodeToString(id[:])[:16]
}

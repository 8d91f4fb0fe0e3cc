// Package dial says how a Kafka cluster is reached, for every client of ours: seeds, TLS and SASL as options of the client library, and what to do about brokers that
// refuse us.
package dial

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Options returns what every client of ours needs to reach the cluster. The files of s are read here. The client's own log goes to log.
func Options(seeds []string, clientID string, s Security, log *slog.Logger) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.ClientID(clientID), kgo.SoftwareNameAndVersion("andon", "1"),
		kgo.WithLogger(clientLog{log}), kgo.DisableClientMetrics(),
		// A broker that comes back, or a leader that moved, is found within this; the library's 5 s are meant for thousands of clients.
		kgo.MetadataMinAge(250 * time.Millisecond),
	}
	if s.TLS.Enabled {
		t, err := s.TLS.config()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	if s.SASL.Mechanism != "" {
		password, err := s.SASL.secret()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(s.SASL.mechanism(password)))
	}
	return opts, nil
}

// Backoff is a producer's wait before the next try: from 50 ms to 1 s, doubling, give or take a quarter.
func Backoff(tries int) time.Duration {
	d := min(time.Second, 25*time.Millisecond<<min(max(tries, 1), 6))
	return d - d/4 + rand.N(d/2)
}

// Refused asks the cluster for an answer and returns what to do when it has refused us for good, nil otherwise: a broker that is away may come back.
func Refused(ctx context.Context, c *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := c.Ping(ctx); err != nil {
		if advised, permanent := Advise(err); permanent {
			return advised
		}
	}
	return nil
}

// clientLog is the client library's log; its news is detail to us, because we tell what it means.
type clientLog struct{ log *slog.Logger }

func (l clientLog) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

func (l clientLog) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	// Shutting down breaks connections; that is no news.
	if level <= kgo.LogLevelWarn && !strings.Contains(msg, "unable to read from client connection") {
		to = slog.LevelWarn
	}
	l.log.Log(context.Background(), to, "kafka client: "+msg, keyvals...)
}

// Trouble remembers why connecting failed last, for an error that a person can act on: the client library itself retries without a word.
type Trouble struct {
	mu  sync.Mutex
	err error
}

// OnBrokerConnect is called by the client library after each attempt.
func (t *Trouble) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// Err returns why the last attempt to connect failed, nil when it did not.
func (t *Trouble) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

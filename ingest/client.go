package ingest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// connection returns the options that any client needs to reach the brokers; it reads the files that the config names.
func connection(c Config, log *slog.Logger) ([]kgo.Opt, error) {
	if len(c.Brokers) == 0 {
		return nil, fmt.Errorf("kafka.brokers: is empty: name a broker")
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID(c.ClientID), kgo.SoftwareNameAndVersion("andon", "1"),
		kgo.WithLogger(slogger{log}), kgo.DisableClientMetrics(),
		// A broker that comes back, or a leader that moved, is found within this; the library's 5 s are meant for thousands of clients.
		kgo.MetadataMinAge(250 * time.Millisecond),
	}
	if c.TLS.Enabled {
		t, err := c.TLS.config()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	if c.SASL.Mechanism != "" {
		password, err := c.SASL.secret()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(mechanism(c.SASL.Mechanism, c.SASL.User, password)))
	}
	return opts, nil
}

func mechanism(name, user, password string) sasl.Mechanism {
	switch name {
	case "scram-sha-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism()
	case "scram-sha-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism()
	default:
		return plain.Auth{User: user, Pass: password}.AsMechanism()
	}
}

func (t TLS) config() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: %s holds no PEM certificate", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert, tls.key: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// consumer returns the options of one pipeline's group member; it joins when it is given a topic.
func consumer(c Config, group string, sizer *fetchSizer) []kgo.Opt {
	fetch, part := sizer.sizes()
	opts := []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.DisableAutoCommit(),
		// Polls and rebalances take turns, so that records of a partition that was just given up cannot reach its next handler.
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A transaction's marker takes an offset: seen, it can be accounted for.
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(fetch), kgo.FetchMaxPartitionBytes(part), kgo.FetchMaxWait(c.FetchWait), kgo.WithHooks(sizer),
		kgo.SessionTimeout(c.SessionTimeout), kgo.HeartbeatInterval(c.Heartbeat), kgo.RebalanceTimeout(c.RebalanceTimeout),
		kgo.WithPools(&recordPool{}, &bytePool{}),
	}
	if c.Balancer == BalancerNextGen {
		// The client asks the brokers to balance where they can, and falls back to its own sticky balancer where not.
		opts = append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	} else {
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	}
	if c.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(c.InstanceID))
	}
	return opts
}

// slogger writes the client's own log; its news about the group is detail to us, because the Intake tells what it means.
type slogger struct{ log *slog.Logger }

func (s slogger) Level() kgo.LogLevel {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

func (s slogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	// Shutting down breaks connections; that is no news.
	if level <= kgo.LogLevelWarn && !strings.Contains(msg, "unable to read from client connection") {
		to = slog.LevelWarn
	}
	s.log.Log(context.Background(), to, "kafka client: "+msg, keyvals...)
}

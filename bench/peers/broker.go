package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Broker is the cluster that the peers read from and write to.
type Broker struct {
	Addr string
	PID  int // 0 when it is not ours to count
	adm  *kadm.Client
	proc *process
}

// connect makes a Broker of an address at which a cluster answers.
func connect(addr string) (*Broker, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ClientID("peers-admin"))
	if err != nil {
		return nil, err
	}
	return &Broker{Addr: addr, adm: kadm.NewClient(cl)}, nil
}

// startBroker runs one Apache Kafka from deploy/kafka with its data in dir and waits until it, and nobody else on its port, answers.
func startBroker(ctx context.Context, root, dir, heap string, log *slog.Logger) (*Broker, error) {
	libs := filepath.Join(root, "lib", "kafka")
	if err := runTool(ctx, root, "sh", "deploy/kafka/fetch.sh", libs); err != nil {
		return nil, err
	}
	port, err := freePort(21092, 2)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "kafka")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.Command("sh", "deploy/kafka/start-broker.sh", data, strconv.Itoa(port), heap)
	cmd.Dir = root
	// The event times lie years back: no segment may look expired while a peer reads it, and no cleaner may compete with a peer.
	cmd.Env = append(os.Environ(), "KAFKA_LIBS="+libs, "KAFKA_EXTRA=log.retention.check.interval.ms=86400000\nlog.cleaner.backoff.ms=86400000\n")
	proc, err := startProcess(cmd, filepath.Join(dir, "kafka.log"))
	if err != nil {
		return nil, fmt.Errorf("start Kafka: %w", err)
	}
	b, err := connect("127.0.0.1:" + strconv.Itoa(port))
	if err != nil {
		proc.stop()
		return nil, err
	}
	b.proc, b.PID = proc, cmd.Process.Pid
	if err := b.await(ctx, filepath.Join(data, "logs", "meta.properties")); err != nil {
		b.Close()
		return nil, fmt.Errorf("start Kafka on port %d: %w\n%s", port, err, proc.said())
	}
	log.Info("broker is up", "addr", b.Addr, "heap", heap)
	return b, nil
}

// await returns once the cluster that answers is the one whose identity is in the file meta.
func (b *Broker) await(ctx context.Context, meta string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if b.proc.exited() {
			return errors.New("it ended")
		}
		try, stop := context.WithTimeout(ctx, time.Second)
		m, err := b.adm.BrokerMetadata(try)
		stop()
		if err == nil && len(m.Brokers) > 0 {
			text, err := os.ReadFile(meta)
			if err != nil {
				return err
			}
			if !strings.Contains(string(text), "cluster.id="+m.Cluster) {
				return fmt.Errorf("another cluster, %s, answers on %s", m.Cluster, b.Addr)
			}
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return errors.New("it did not answer within a minute")
		}
	}
}

// createTopic makes a topic that keeps everything, however old its records say they are.
func (b *Broker) createTopic(ctx context.Context, name string, partitions int32) error {
	keep := "-1"
	_, err := b.adm.CreateTopic(ctx, partitions, 1, map[string]*string{"retention.ms": &keep, "retention.bytes": &keep}, name)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return nil
}

// ends returns the last stable offset of every partition: what a read_committed reader may see.
func (b *Broker) ends(ctx context.Context, topic string, partitions int32) ([]int64, error) {
	listed, err := b.adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make([]int64, partitions)
	for p := range partitions {
		o, ok := listed.Lookup(topic, p)
		if !ok {
			return nil, fmt.Errorf("%s/%d: no offset listed", topic, p)
		}
		if o.Err != nil {
			return nil, fmt.Errorf("%s/%d: %w", topic, p, o.Err)
		}
		out[p] = o.Offset
	}
	return out, nil
}

// forget deletes the group and every topic whose name starts with the group's: the peer's output and what else it made for itself.
func (b *Broker) forget(ctx context.Context, group string) error {
	fresh, err := connect(b.Addr) // a client lists topics from a cache, which is too old for the ones that a peer just made
	if err != nil {
		return err
	}
	defer fresh.Close()
	topics, err := fresh.adm.ListTopics(ctx)
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(topics.Names(), func(t string) bool { return !strings.HasPrefix(t, group) })
	if len(names) > 0 {
		if _, err := fresh.adm.DeleteTopics(ctx, names...); err != nil {
			return err
		}
	}
	r, err := fresh.adm.DeleteGroups(ctx, group)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := r[group].Err; err != nil && !gone(err) {
		return err
	}
	return nil
}

// gone says whether err tells of a group that needs no deleting: no group was ever made on this broker, or this one was not, or a killed member stays in it
// until its session ends and then it goes with the broker.
func gone(err error) bool {
	return errors.Is(err, kerr.CoordinatorNotAvailable) || errors.Is(err, kerr.GroupIDNotFound) || errors.Is(err, kerr.NonEmptyGroup)
}

// Close stops the broker if it is ours.
func (b *Broker) Close() {
	b.adm.Close()
	if b.proc != nil {
		b.proc.stop()
	}
}

// freePort finds n neighbouring ports that nobody listens on, from start up and below the range from which outgoing connections take theirs: a client that
// dials a port of that range before its server listens can connect to itself.
func freePort(start, n int) (int, error) {
	for port := start; port+n < 32768; port += n {
		free := true
		for i := range n {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+i))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports between %d and 32768", n, start)
}

// runTool runs a build step and shows its output only when it goes wrong.
func runTool(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, firstAndLast(out, 15))
	}
	return nil
}

// firstAndLast returns up to n lines from the beginning of text and n from its end: a stack trace tells its cause first, a log last.
func firstAndLast(text []byte, n int) string {
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(lines) > 2*n {
		lines = slices.Concat(lines[:n], []string{"…"}, lines[len(lines)-n:])
	}
	return strings.Join(lines, "\n")
}

// pause sleeps, or returns early with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

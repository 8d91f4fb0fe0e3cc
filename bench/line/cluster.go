package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// cluster is one Apache Kafka on loopback, from deploy/kafka.
type cluster struct {
	addr      string
	adm       *kadm.Client
	processes family
	cmd       *exec.Cmd
	ended     chan struct{}
}

// clusterHeap is bench/peers', too.
const clusterHeap = "512m"

// startCluster runs a broker with its data below dir, and waits until it answers.
func startCluster(ctx context.Context, lib, dir string) (k *cluster, err error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	if lib, err = filepath.Abs(filepath.Join(lib, "kafka")); err != nil {
		return nil, err
	}
	port, err := freePorts()
	if err != nil {
		return nil, err
	}
	log := filepath.Join(dir, "kafka.log")
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	k = &cluster{addr: "127.0.0.1:" + strconv.Itoa(port), ended: make(chan struct{})}
	k.cmd = exec.Command("sh", "deploy/kafka/start-broker.sh", filepath.Join(dir, "kafka"), strconv.Itoa(port), clusterHeap)
	k.cmd.Dir, k.cmd.Stdout, k.cmd.Stderr = root, out, out
	// The rows' times lie years back: no segment may look expired. No cleaner is to work in one turn for another.
	k.cmd.Env = append(os.Environ(), "KAFKA_LIBS="+lib, "KAFKA_EXTRA=log.retention.check.interval.ms=86400000\nlog.cleaner.backoff.ms=86400000\n")
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := k.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Apache Kafka: %w", err)
	}
	go func() {
		defer close(k.ended)
		_ = k.cmd.Wait() // how it ended is in its log
	}()
	defer func() {
		if err != nil {
			text, _ := os.ReadFile(log)
			err = errors.Join(fmt.Errorf("start Apache Kafka (it needs Java 17, and make deps-kafka): %w\n%s", err, text), k.close())
		}
	}()
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.addr), kgo.ClientID("line-admin"), kgo.DisableClientMetrics())
	if err != nil {
		return nil, err
	}
	k.adm = kadm.NewClient(cl)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		try, stop := context.WithTimeout(ctx, time.Second)
		m, err := k.adm.BrokerMetadata(try)
		stop()
		if err == nil && len(m.Brokers) > 0 {
			k.processes = append(family{k.cmd.Process.Pid}, children(k.cmd.Process.Pid)...)
			return k, nil
		}
		select {
		case <-k.ended:
			return nil, errors.New("it has ended")
		default:
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (k *cluster) close() error {
	if k.adm != nil {
		k.adm.Close()
	}
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-k.ended:
	case <-time.After(20 * time.Second):
		_ = k.cmd.Process.Kill()
		<-k.ended
	}
	return nil
}

// makeTopic makes a topic that keeps everything.
func (k *cluster) makeTopic(ctx context.Context, name string, partitions int32, policy string) error {
	keep := "-1"
	if _, err := k.adm.CreateTopic(ctx, partitions, 1, map[string]*string{"retention.ms": &keep, "retention.bytes": &keep, "cleanup.policy": &policy}, name); err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return nil
}

// freePorts finds two neighbouring ports that nobody listens on, below the range from which clients get theirs.
func freePorts() (int, error) {
next:
	for port := 22192; port < 32000; port += 2 {
		for i := range 2 {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+i))
			if err != nil {
				continue next
			}
			l.Close()
		}
		return port, nil
	}
	return 0, errors.New("no two free ports for Apache Kafka")
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working folder: run it within the repository")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

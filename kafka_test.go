package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/deploy/kafka/brokertest"
)

const kafkaConfig = `
kafka:
  create_topics: true
  session_timeout: 3s
  heartbeat: 300ms
  tls: {enabled: true, ca: %q}
  sasl: {mechanism: scram-sha-512, user: %s, password: "${ANDON_TEST_KAFKA_PASSWORD}"}
flush: {rows: 500, bytes: 1MiB, interval: 200ms}
pipelines:
  - name: plant
    partitions: 3
    source: {topic: plant.rows, signals: [x]}
    window: {grid: 5m, length: 24, max_gap: 6, lateness: 15m, horizon: 24h}
`

// The whole program on Apache Kafka, behind a login: it makes its topics, and through kill -9 while rows come in, each one is stored once.
func TestKafkaKilled(t *testing.T) {
	needLibraries(t)
	real := brokertest.Need(t)
	t.Setenv("ANDON_TEST_KAFKA_PASSWORD", brokertest.Password)
	data, config := filepath.Join(t.TempDir(), "data"), fmt.Sprintf(kafkaConfig, real.CA, brokertest.User)
	p := launch(t, data, config, "--kafka", real.Login)

	const partitions, rounds, each = 3, 40, 200
	client, err := kgo.NewClient(kgo.SeedBrokers(real.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("plant.rows"), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	send := func(round int) {
		t.Helper()
		var rows []*kgo.Record
		for i := range each {
			for part := range partitions {
				at := begin.Add(time.Duration(round*each+i) * time.Second)
				rows = append(rows, &kgo.Record{Partition: int32(part), Value: fmt.Appendf(nil, `{"asset":"line-%d","time":%q,"x":%d}`, part, at.Format(time.RFC3339), i)})
			}
		}
		if err := client.ProduceSync(ctx, rows...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	const stored = "SELECT count() FROM andon.readings WHERE pipeline = 'plant'"
	for round := range rounds / 2 {
		send(round)
	}
	p.await(t, "the first rows", func() bool { return p.number(t, stored) > 0 })
	for round := rounds / 2; round < rounds; round++ {
		send(round)
		if round == rounds*3/4 {
			if err := p.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-p.ended
		}
	}
	said := p.log()
	p = launch(t, data, config, "--kafka", real.Login)
	p.await(t, "all rows", func() bool { return p.number(t, stored) >= partitions*rounds*each })

	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, "plant.rows")
	if err != nil {
		t.Fatal(err)
	}
	rows := p.sql(t, `SELECT _partition, count(), uniqExact(_offset), min(_offset), max(_offset) FROM andon.readings WHERE pipeline = 'plant' GROUP BY ALL ORDER BY ALL`)
	if len(rows) != partitions {
		t.Errorf("rows of %d partitions, want %d", len(rows), partitions)
	}
	for _, r := range rows {
		end, _ := ends.Lookup("plant.rows", int32(asNumber(r[0])))
		if n := float64(end.Offset); asNumber(r[1]) != n || asNumber(r[2]) != n || asNumber(r[3]) != 0 || asNumber(r[4]) != n-1 {
			t.Errorf("partition %v: %v rows of %v offsets from %v to %v; the log has %v", r[0], r[1], r[2], r[3], r[4], n)
		}
	}
	if strings.Contains(said+p.log(), brokertest.Password) {
		t.Error("the password is in the log")
	}
}

// What is wrong with the way to the brokers ends the program with one line that says what to do.
func TestKafkaRefused(t *testing.T) {
	needLibraries(t)
	real := brokertest.Need(t)
	t.Setenv("ANDON_TEST_KAFKA_PASSWORD", brokertest.Password+"-wrong")
	lib, err := filepath.Abs("lib")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	for ca, want := range map[string]string{real.CA: "check kafka.sasl: user and password", real.OtherCA: "check kafka.tls: ca and server_name"} {
		text := fmt.Sprintf("libraries: %q\n", lib) + fmt.Sprintf(kafkaConfig, ca, brokertest.User)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		code, _, talk := ask(t, "up", "--config", config, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--kafka", real.Login)
		lines := strings.Split(strings.TrimSpace(talk), "\n")
		if last := lines[len(lines)-1]; code != exitEnvironment || !strings.Contains(last, want) || strings.Count(talk, "check kafka.") != 1 {
			t.Errorf("exit code %d, want %q once:\n%s", code, want, talk)
		}
		if strings.Contains(talk, brokertest.Password) {
			t.Errorf("the password is in the log:\n%s", talk)
		}
	}
}

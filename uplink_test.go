package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/deploy/kafka/brokertest"
)

const uplinkConfig = `
flush: {rows: 300, bytes: 1MiB, interval: 100ms}
uplink:
  brokers: [%q]
  site: %s
  create_topics: true
  interval: 50ms
  check: 500ms
  max_backoff: 1s
pipelines:
  - name: once
    partitions: 3
    source: {topic: once.rows, signals: [x]}
    window: {grid: 1s, length: 4, lateness: 0s, horizon: 1h}
`

// The whole program with its embedded broker sends scores and dead letters up to Apache Kafka, killed with kill -9 again and again, and with the cluster killed and
// revived in between: a reader of committed records sees there what ClickHouse holds, each once, and both sides verify clean.
func TestKafkaUplinkKilled(t *testing.T) {
	needLibraries(t)
	real := brokertest.Need(t)
	real.Topics(t, 0, "edge.andon.scores", "edge.andon.deadletter", "edge.andon.alerts")
	data, site := filepath.Join(t.TempDir(), "data"), fmt.Sprint("plant-", rand.IntN(1e6))
	addMean(t, data)
	config := fmt.Sprintf(uplinkConfig, real.Addr, site)
	begin := func() (*program, *kgo.Client) {
		p := launch(t, data, config, "--kafka-listen", "127.0.0.1:0")
		a, err := readAddresses(data)
		if err != nil {
			t.Fatal(err)
		}
		c, err := kgo.NewClient(kgo.SeedBrokers(a.Kafka), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("once.rows"), kgo.MetadataMinAge(100*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		return p, c
	}
	p, client := begin()
	const partitions, rounds, each, kills = 3, 40, 100, 3
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for round := range rounds {
		var rows []*kgo.Record
		for i := range each {
			for part := range partitions {
				value := fmt.Appendf(nil, `{"asset":"line-%d","time":%q,"x":%d}`, part, from.Add(time.Duration(round*each+i)*time.Second).Format(time.RFC3339), i)
				if i%5 == 4 {
					value = fmt.Appendf(nil, "no row, %d of %d", i, round)
				}
				rows = append(rows, &kgo.Record{Partition: int32(part), Value: value})
			}
		}
		if err := client.ProduceSync(t.Context(), rows...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		switch round {
		case 15:
			real.Kill()
		case 25:
			real.Revive(t)
		}
		if round%(rounds/(kills+1)) == rounds/(kills+1)-1 && round < rounds-1 {
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
			client.Close()
			if err := p.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			p, client = begin()
		}
	}
	defer client.Close()
	const total = partitions * rounds * each
	p.await(t, "all records", func() bool {
		return p.number(t, "SELECT (SELECT count() FROM andon.readings) + (SELECT count() FROM andon.deadletters WHERE pipeline = 'once')") >= total
	})
	file := filepath.Join(t.TempDir(), "uplink.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	verify := func() (int, string, string) {
		return ask(t, "verify", "--uplink", "--config", file, "--data", data)
	}
	var out, talk string
	p.await(t, "all of it up", func() bool {
		var code int
		code, out, talk = verify()
		return code == 0 && strings.Contains(talk, "; 0 wait,")
	})
	t.Logf("\n%s%s", out, talk)
	// Scores go to the local topic at least once: what is up is that log, record by record. Each score of ClickHouse is among it.
	for topic, table := range map[string]string{"edge.andon.deadletter": "deadletters", "edge.andon.scores": "scores"} {
		seen := committedOf(t, real.Addr, topic)
		end := "0"
		if table == "scores" {
			end = "toUnixTimestamp64Micro(end)"
		}
		held := 0
		for _, r := range p.sql(t, "SELECT _partition, groupArray(_offset), groupArray("+end+") FROM andon."+table+" WHERE pipeline = 'once' GROUP BY ALL") {
			ends := r[2].([]any)
			for i, o := range r[1].([]any) {
				held++
				if at := (source{"once.rows", int64(asNumber(r[0])), int64(asNumber(o)), int64(asNumber(ends[i]))}); seen[at] < 1 {
					t.Fatalf("%s: %+v is not in the central cluster", table, at)
				}
			}
		}
		if held < total/6 || len(seen) != held {
			t.Errorf("%s: what came of %d records is up, ClickHouse holds %d", table, len(seen), held)
		}
	}
	if code, out, talk := ask(t, "uplink", "status", "--data", data); code != 0 || !strings.Contains(out, "edge.andon.scores") || !strings.Contains(talk, "0 records wait") {
		t.Errorf("status ends with %d:\n%s%s", code, out, talk)
	}
	if code, _, talk := ask(t, "verify", "--uplink", "--data", data); code != 2 || !strings.Contains(talk, "the configuration has no uplink") {
		t.Errorf("verify without a configuration ends with %d: %s", code, talk)
	}
}

func TestUplinkSettles(t *testing.T) {
	c, err := parseConfig([]byte(fmt.Sprintf(uplinkConfig, "central:9092", "plant-7")))
	if err != nil {
		t.Fatal(err)
	}
	c.Topics.Drift = "plant.drift"
	c.settle()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range c.Uplink.Topics {
		names = append(names, x.From)
	}
	if want := []string{"andon.scores", "andon.alerts", "plant.drift", "andon.trainings", "andon.deadletter"}; !reflect.DeepEqual(names, want) {
		t.Errorf("%v go up, want %v", names, want)
	}
	if !c.Pipelines[0].PublishScores {
		t.Error("scores that go up are not published")
	}
	c.Uplink.Topics[0].Keep = 64 << 20
	if c.keep("andon.scores", 1) != 64<<20 || c.keep("andon.labels", 1) != 1 {
		t.Error("keep")
	}
}

func TestEvidenceRefs(t *testing.T) {
	check := func(value string, want ...string) {
		t.Helper()
		if got := evidenceRefs([]byte(value)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
	check(`{"data":{"matter":{"evidence":"/api/v1/evidence/dock-1/2026/a%20b.jpg"}}}`, "dock-1/2026/a%20b.jpg")
	check(`{"evidence":"http://127.0.0.1:8080/api/v1/evidence/x?boxes=1"}`, "x")
	check(`{"evidence":"/asset/pumps/7"}`)
	check(`{"matter":{"evidence":"/api/v1/evidence/x"},"raise":{"evidence":"/api/v1/evidence/x"}}`, "x")
}

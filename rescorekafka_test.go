package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/deploy/kafka/brokertest"
)

// On Apache Kafka, behind a login: a replay that is asked to stop ends with what it has, goes on when it is started again, and leaves no group behind.
func TestKafkaRescore(t *testing.T) {
	needLibraries(t)
	real := brokertest.Need(t)
	t.Setenv("ANDON_TEST_KAFKA_PASSWORD", brokertest.Password)
	lib, err := filepath.Abs("lib")
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(fmt.Sprintf(kafkaConfig, real.CA, brokertest.User), "flush:")
	text := head + strings.TrimSpace(rescoreConfig) + "\n"
	data, config := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf("libraries: %q\n", lib)+text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, other := plantModels(t, data)
	real.Topics(t, 3, "plant.rows")
	p := launch(t, data, text, "--kafka", real.Login)
	client, err := kgo.NewClient(kgo.SeedBrokers(real.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	rows := plantRows(rand.New(rand.NewPCG(7, 7)), 0, 300)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := client.ProduceSync(ctx, rows...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p.await(t, "all rows", func() bool {
		return p.number(t, "SELECT (SELECT count() FROM andon.readings) + (SELECT count() FROM andon.deadletters)") >= float64(len(rows))
	})
	live := p.number(t, "SELECT count() FROM andon.scores")

	args := []string{"replay", "--config", config, "--data", data, "--kafka", real.Login, "--pipeline", "plant", "--run", "stopped", "--json"}
	first := command(append(args, "--model", other, "--rate", "600")...)
	var out, talk strings.Builder
	first.Stdout, first.Stderr = &out, &talk
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	p.await(t, "the first scores of the replay", func() bool { return p.number(t, "SELECT count() FROM andon.replay_scores") > 0 })
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	var s rescoreSummary
	if err := json.Unmarshal([]byte(out.String()), &s); err != nil || first.ProcessState.ExitCode() != exitFailed || s.State != "stopped" || s.Scores == 0 || float64(s.Scores) >= live ||
		!strings.Contains(talk.String(), "--run stopped goes on") {
		t.Errorf("stopped: exit code %d, %v, %+v: %s", first.ProcessState.ExitCode(), err, s, &talk)
	}
	held := p.number(t, "SELECT count() FROM andon.replay_scores")
	if held != float64(s.Scores) {
		t.Errorf("it told of %d scores, and %v are stored", s.Scores, held)
	}
	code, text2, said := ask(t, args...)
	if err := json.Unmarshal([]byte(text2), &s); err != nil || code != exitOK || s.State != "finished" || float64(s.Scores) != live-held || asNumber(s.Comparison["both"]) != live {
		t.Errorf("finished: exit code %d, %v, %+v, want the other %v scores: %s", code, err, s, live-held, said)
	}
	if n := p.number(t, "SELECT uniqExact(asset, end, _partition, _offset) FROM andon.replay_scores"); n != live {
		t.Errorf("%v different windows have scores, want %v", n, live)
	}
	if o, err := kadm.NewClient(client).FetchOffsets(ctx, "andon.plant.replay.stopped"); err == nil && len(o) > 0 {
		t.Errorf("the group is left with %v", o)
	}
	if strings.Contains(said+talk.String()+p.log(), brokertest.Password) {
		t.Error("the password is told")
	}
}

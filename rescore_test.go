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

	"andon/model"
	"andon/model/ort/orttest"
)

const rescoreConfig = `
flush: {rows: 500, bytes: 1MiB, interval: 200ms}
pipelines:
  - name: plant
    partitions: 3
    source: {topic: plant.rows, signals: [x, y]}
    window: {grid: 1m, length: 12, max_gap: 3, smooth: 0.3, baseline: 5, age: true, lateness: 2m, horizon: 1h}
`

// plantModels puts two models into a data folder, the first one champion.
func plantModels(t *testing.T, data string) (champion, other string) {
	t.Helper()
	models, err := model.Open(filepath.Join(data, "models"))
	if err != nil {
		t.Fatal(err)
	}
	r := model.Recipe{Signals: []string{"x", "y"}, Grid: time.Minute, Length: 12, MaxGap: 3, Smooth: 0.3, Baseline: 5, Age: true}
	for range r.Width() {
		r.Scale = append(r.Scale, model.Scale{Mean: 1, Std: 10})
	}
	var versions []string
	for seed := range uint64(2) {
		m, err := model.Seal(orttest.GRU(r.Length, r.Width(), 8, 1, seed+1), model.Meta{Pipeline: "plant", Task: model.RemainingLife, Recipe: r})
		if err != nil {
			t.Fatal(err)
		}
		if err := models.Add(m); err != nil {
			t.Fatal(err)
		}
		versions = append(versions, m.Version)
	}
	if err := models.Promote("plant", versions[0], "test", "first"); err != nil {
		t.Fatal(err)
	}
	return versions[0], versions[1]
}

// plantRows are n minutes of disorderly assets: rows that are missing, late, doubled or not to be read.
func plantRows(rng *rand.Rand, from, n int) (rows []*kgo.Record) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := from; i < from+n; i++ {
		for asset := range 12 {
			at := begin.Add(time.Duration(i)*time.Minute + time.Duration(rng.IntN(50))*time.Second)
			value := fmt.Sprintf(`{"asset":"line-%02d","time":%q,"x":%.3f,"y":%d}`, asset, at.Format(time.RFC3339), 10*rng.NormFloat64(), rng.IntN(20))
			switch rng.IntN(40) {
			case 0:
				continue
			case 1:
				value = value[:len(value)-3]
			case 2:
				value = strings.Replace(value, at.Format(time.RFC3339), at.Add(-time.Duration(rng.IntN(10))*time.Minute).Format(time.RFC3339), 1)
			case 3:
				rows = append(rows, &kgo.Record{Topic: "plant.rows", Partition: int32(asset % 3), Value: []byte(value)})
			}
			rows = append(rows, &kgo.Record{Topic: "plant.rows", Partition: int32(asset % 3), Value: []byte(value)})
		}
	}
	return rows
}

// The past is scored anew beside the live line: the same model says the same of the same windows, another one stands beside it, and neither a run that is killed nor one
// that runs twice gives a score twice.
func TestRescore(t *testing.T) {
	needLibraries(t)
	data := filepath.Join(t.TempDir(), "data")
	champion, other := plantModels(t, data)
	p := launch(t, data, rescoreConfig, "--kafka-listen", "127.0.0.1:0")
	lib, _ := filepath.Abs("lib")
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("libraries: "+lib+"\n"+rescoreConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := readAddresses(data)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(a.Kafka), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	rng := rand.New(rand.NewPCG(4, 9))
	sent := 0
	send := func(from, n int) {
		t.Helper()
		rows := plantRows(rng, from, n)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := client.ProduceSync(ctx, rows...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		sent += len(rows)
	}
	handled := func() {
		t.Helper()
		p.await(t, "all rows", func() bool {
			return p.number(t, "SELECT (SELECT count() FROM andon.readings) + (SELECT count() FROM andon.deadletters)") >= float64(sent)
		})
	}
	args := func(more ...string) []string {
		return append([]string{"replay", "--config", config, "--data", data, "--pipeline", "plant"}, more...)
	}
	replay := func(more ...string) (s rescoreSummary, talk string) {
		t.Helper()
		code, out, talk := ask(t, args(append(more, "--json")...)...)
		if err := json.Unmarshal([]byte(out), &s); err != nil || code != exitOK {
			t.Fatalf("replay %v: exit code %d, %v: %s%s", more, code, err, out, talk)
		}
		return s, talk
	}
	counts := func(run, want string) {
		t.Helper()
		r := p.sql(t, "SELECT count(), uniqExact(asset, end, _partition, _offset), uniqExact(version) FROM andon.replay_scores WHERE run = '"+run+"'")[0]
		if got := fmt.Sprint(r...); got != want {
			t.Errorf("%s: %s scores, different ones, versions; want %s", run, got, want)
		}
	}

	send(0, 500)
	handled()
	live := p.number(t, "SELECT count() FROM andon.scores")
	if live < 4000 {
		t.Fatalf("only %v live scores", live)
	}
	all := fmt.Sprintf("%v %v 1", live, live)

	// The same model: the same windows, the same scores.
	s, _ := replay("--model", champion[:6], "--run", "same")
	if c := s.Comparison; float64(s.Scores) != live || s.Version != champion || s.State != "finished" || asNumber(c["both"]) != live || asNumber(c["only_old"])+asNumber(c["only_new"]) != 0 {
		t.Errorf("%+v, want %v scores on both sides", s, live)
	}
	counts("same", all)
	if n := p.number(t, `SELECT countIf(abs(value_change) < 1e-5 * greatest(1, abs(old_value)) AND abs(risk_change) < 1e-5 AND old_version = new_version)
		FROM andon.replay_comparison WHERE run = 'same'`); n != live {
		t.Errorf("%v of %v windows have the same score", n, live)
	}
	if n := p.number(t, `SELECT uniqExact(value) FROM andon.scores`); n < live/2 {
		t.Errorf("%v different scores of %v: that says little", n, live)
	}

	// Again: nothing is done.
	s, talk := replay("--run", "same")
	if s.Scores != 0 || s.Rows != 0 || s.State != "finished" || !strings.Contains(talk, "has finished before") {
		t.Errorf("again: %+v %s", s, talk)
	}
	counts("same", all)

	// Another model, and a part of the past.
	const inRange = " >= '2026-01-01 02:00:00' AND end < '2026-01-01 05:00:00'"
	part := p.number(t, "SELECT count() FROM andon.scores WHERE end"+inRange)
	s, _ = replay("--model", other, "--from", "2026-01-01T02:00:00Z", "--to", "2026-01-01T05:00:00Z", "--run", "part")
	if c := s.Comparison; float64(s.Scores) != part || asNumber(c["both"]) != part || asNumber(c["windows"]) != part || c["new_version"] != other || asNumber(c["mean_abs_value_change"]) == 0 {
		t.Errorf("%+v, want %v scores", s, part)
	}
	if n := p.number(t, "SELECT count() FROM andon.replay_comparison WHERE run = 'part' AND old_version = '"+champion+"' AND new_version = '"+other+"' AND end"+inRange); n != part {
		t.Errorf("%v windows have both, want %v", n, part)
	}
	// By offsets: windows that records from there on complete.
	part = p.number(t, "SELECT count() FROM andon.scores WHERE _partition = 1 AND _offset >= 700 AND _offset < 1500")
	s, _ = replay("--from", "1:700", "--to", "1500")
	if c := s.Comparison; float64(s.Scores) != part || asNumber(c["both"]) != part || asNumber(c["windows"]) != part || s.Run == "" {
		t.Errorf("by offsets: %+v, want %v scores", s, part)
	}
	counts(s.Run, fmt.Sprintf("%v %v 1", part, part))

	// Killed in the middle, and started again with its name alone; the live line goes on meanwhile.
	killed := command(args("--model", other, "--run", "killed", "--rate", "1500")...)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	p.await(t, "the first scores of the replay", func() bool { return p.number(t, "SELECT count() FROM andon.replay_scores WHERE run = 'killed'") > 0 })
	send(500, 100)
	_ = killed.Process.Kill()
	_ = killed.Wait()
	before := p.number(t, "SELECT count() FROM andon.replay_scores WHERE run = 'killed'")
	if before >= live {
		t.Fatalf("it was killed too late: %v scores", before)
	}
	s, _ = replay("--run", "killed")
	if s.Version != other || float64(s.Scores) > live {
		t.Errorf("%+v", s)
	}
	counts("killed", all)
	handled()
	if n := p.number(t, "SELECT count() FROM andon.scores"); n < live*1.15 {
		t.Errorf("%v live scores, %v before: the live line stood still", n, live)
	}

	// Stopped in the middle, and the group's commits are lost: what is stored says where to go on.
	live = p.number(t, "SELECT count() FROM andon.scores")
	lost := command(args("--run", "lost", "--rate", "1500")...)
	if err := lost.Start(); err != nil {
		t.Fatal(err)
	}
	p.await(t, "the first scores of the replay", func() bool { return p.number(t, "SELECT count() FROM andon.replay_scores WHERE run = 'lost'") > 0 })
	if err := lost.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _ = lost.Wait(); lost.ProcessState.ExitCode() != exitFailed {
		t.Errorf("stopped: exit code %d, want %d", lost.ProcessState.ExitCode(), exitFailed)
	}
	if _, err := kadm.NewClient(client).DeleteGroup(t.Context(), "andon.plant.replay.lost"); err != nil {
		t.Fatal(err)
	}
	before = p.number(t, "SELECT count() FROM andon.replay_scores WHERE run = 'lost'")
	if s, _ = replay("--run", "lost"); before >= live || float64(s.Scores) != live-before {
		t.Errorf("%v scores were stored, of %v; it went on with %+v", before, live, s)
	}
	counts("lost", fmt.Sprintf("%v %v 1", live, live))

	// Two processes of one run share the work.
	live = p.number(t, "SELECT count() FROM andon.scores")
	began := time.Now()
	twins := []*strings.Builder{{}, {}}
	ended := make(chan error, 2)
	for _, said := range twins {
		c := command(args("--run", "twins", "--rate", "4000", "--json")...)
		c.Stderr, c.Stdout = said, said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { ended <- c.Wait() }()
		p.await(t, "a state of the run", func() bool { return p.number(t, "SELECT count() FROM andon.replays WHERE run = 'twins'") > 0 })
	}
	for range twins {
		if err := <-ended; err != nil {
			t.Errorf("%v: %s %s", err, twins[0], twins[1])
		}
	}
	counts("twins", fmt.Sprintf("%v %v 1", live, live))
	if took := time.Since(began); took.Seconds() < float64(sent)/2/4000*0.8 { // each reads at most 4000 a second
		t.Errorf("%d rows were read in %v by two at 4000 a second", sent, took)
	}

	if code, out, talk := ask(t, "verify", "--data", data, "--kafka", "auto", "plant"); code != exitOK {
		t.Errorf("verify: exit code %d: %s%s", code, out, talk)
	}
	var saved []struct{ Name, SQL string }
	if err := call(t.Context(), "GET", "http://"+a.Console+"/api/v1/queries", nil, &saved); err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, q := range saved {
		if strings.Contains(q.SQL, "FROM replay_") && len(p.sql(t, q.SQL)) > 0 {
			shown++
		}
	}
	if shown != 2 {
		t.Errorf("%d saved queries show replays, want 2", shown)
	}

	fault := func(code int, words string, more ...string) {
		t.Helper()
		got, out, talk := ask(t, args(more...)...)
		if got != code || !strings.Contains(talk, words) || out != "" {
			t.Errorf("%v: exit code %d, want %d and %q: %s%s", more, got, code, words, out, talk)
		}
	}
	fault(exitUsage, "has no pipeline \"nope\"; it has plant", "--pipeline", "nope")
	fault(exitUsage, "has no model zz", "--model", "zz")
	fault(exitUsage, "the range holds no records", "--from", "500000")
	fault(exitUsage, "is not before", "--from", "2026-01-02", "--to", "2026-01-01")
	fault(exitUsage, "was started with", "--run", "part", "--from", "1h")
	fault(exitUsage, "scores with model "+other, "--run", "part", "--model", champion)
	fault(exitUsage, "--file", "--file", config)
	fault(exitUsage, "is not a name", "--run", "../x")
	fault(exitEnvironment, "andon up", "--data", t.TempDir())
	if code, _, talk := ask(t, "replay", "--from", "1h"); code != exitUsage || !strings.Contains(talk, "--pipeline") {
		t.Errorf("--from alone: exit code %d: %s", code, talk)
	}
}

func TestRation(t *testing.T) {
	r := &ration{rate: 100}
	for range 2 {
		if err := r.wait(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.wait(ctx, 1000); err != nil { // the first goes at once
		t.Fatal(err)
	}
	cancel()
	if err := r.wait(ctx, 1); err == nil {
		t.Error("the second did not wait for ten seconds' worth")
	}
	if err := (&ration{}).wait(t.Context(), 1<<30); err != nil {
		t.Error(err)
	}
}

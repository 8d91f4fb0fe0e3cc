package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestShare(t *testing.T) {
	check := func(bytes int64, partitions int, retention time.Duration, want share, fault string) {
		t.Helper()
		got, refused := shareOf(mib(bytes), partitions, retention)
		if refused != nil && fault != "" && strings.Contains(refused.text, fault) {
			return
		}
		if refused != nil || fault != "" || got != want {
			t.Errorf("%dMiB over %d: %+v, %v; want %+v, %q", bytes, partitions, got, refused, want, fault)
		}
		if got.cost(partitions) > bytes<<20 {
			t.Errorf("%dMiB over %d may hold %d", bytes, partitions, got.cost(partitions))
		}
	}
	check(256, 4, time.Hour, share{retention: 56 << 20, segment: 8 << 20, millis: 3_600_000}, "")
	check(256, 1, 0, share{retention: 224 << 20, segment: 32 << 20, millis: -1}, "")
	check(2, 1, -1, share{retention: 1 << 20, segment: 1 << 20, millis: -1}, "")
	check(1024, 1, 0, share{retention: 960 << 20, segment: 64 << 20, millis: -1}, "")
	check(7, 4, 0, share{}, "less than 2MiB")
}

func TestSettle(t *testing.T) {
	cfg := Default()
	str := func(s string) *string { return &s }
	check := func(asked map[string]*string, partitions int, bytes, millis string, fault string) {
		t.Helper()
		got, s, refused := cfg.settle(partitions, asked)
		if fault != "" {
			if refused == nil || !strings.Contains(refused.text, fault) {
				t.Errorf("%v: %v, want a refusal with %q", asked, refused, fault)
			}
			return
		}
		if refused != nil {
			t.Fatalf("%v: %v", asked, refused)
		}
		if *got["retention.bytes"] != bytes || *got["retention.ms"] != millis || got["segment.bytes"] == nil || *got["cleanup.policy"] != "delete" {
			t.Errorf("%v: %s bytes, %s ms", asked, *got["retention.bytes"], *got["retention.ms"])
		}
		if strconv.FormatInt(s.retention, 10) != bytes || s.segment < 1<<20 || s.segment > max(s.retention/4, 1<<20) {
			t.Errorf("%v: share %+v", asked, s)
		}
		if again := cfg.shareFrom(partitions, got); again != s {
			t.Errorf("%v: read back as %+v, was %+v", asked, again, s)
		}
	}
	week := strconv.FormatInt(cfg.Retention.Milliseconds(), 10)
	check(nil, 4, strconv.Itoa(56<<20), week, "")
	check(map[string]*string{"retention.bytes": str("50000000")}, 4, "50000000", week, "")
	check(map[string]*string{"retention.ms": str("-1")}, 4, strconv.Itoa(56<<20), "-1", "")
	check(map[string]*string{"retention.ms": str("1000"), "retention.bytes": nil, "segment.bytes": str("7")}, 1, strconv.Itoa(224<<20), "1000", "")
	check(map[string]*string{"cleanup.policy": str("delete"), "max.message.bytes": str("1000000")}, 1, strconv.Itoa(224<<20), week, "")
	check(map[string]*string{"retention.bytes": str("-1")}, 1, "", "", "log is bounded")
	check(map[string]*string{"retention.bytes": str("10")}, 1, "", "", "write at least")
	check(map[string]*string{"retention.bytes": str("many")}, 1, "", "", "write at least")
	check(map[string]*string{"retention.ms": str("long")}, 1, "", "", "not a number")
	check(map[string]*string{"cleanup.policy": str("compact")}, 1, "", "", "not safe on the embedded broker")
	check(map[string]*string{"max.message.bytes": str("9000000")}, 1, "", "", "max_message")
	check(nil, 1000, "", "", "less than 2MiB")
}

func TestNoAutoCreation(t *testing.T) {
	b := openTest(t, testConfig(t))
	c := client(t, b, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(1))
	err := c.ProduceSync(testContext(t), &kgo.Record{Topic: "nobody.made.this", Value: []byte("x")}).FirstErr()
	if !errors.Is(err, kerr.UnknownTopicOrPartition) || len(b.Topics()) != 0 {
		t.Errorf("error is %v, topics %v", err, b.Topics())
	}
}

// Whatever clients do, every topic has bounds, and together they stay within max_bytes.
func TestClientsCannotUnbound(t *testing.T) {
	cfg := testConfig(t)
	cfg.MaxBytes, cfg.TopicBytes = mib(160), mib(40) // 150 MiB for topics
	b := openTest(t, cfg)
	ctx := testContext(t)
	adm := kadm.NewClient(client(t, b))
	str := func(s string) *string { return &s }
	bounds := func(topic string) string {
		t.Helper()
		got, err := adm.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, k := range []string{"retention.bytes", "retention.ms", "segment.bytes", "cleanup.policy"} {
			for _, c := range got[0].Configs {
				if c.Key == k && c.Source.String() == "DYNAMIC_TOPIC_CONFIG" {
					out = append(out, *c.Value)
				}
			}
		}
		return strings.Join(out, " ")
	}
	refused := func(err error, text string) {
		t.Helper()
		if !errors.Is(err, kerr.PolicyViolation) && (err == nil || !strings.Contains(err.Error(), text)) {
			t.Errorf("error is %v, want a refusal with %q", err, text)
		}
	}
	message := func(r kadm.CreateTopicResponse, err error, text string) {
		t.Helper()
		if !errors.Is(err, kerr.PolicyViolation) || !strings.Contains(r.ErrMessage, text) {
			t.Errorf("error is %v (%s), want a refusal with %q", err, r.ErrMessage, text)
		}
	}

	if _, err := adm.CreateTopic(ctx, 4, 1, nil, "plain"); err != nil {
		t.Fatal(err)
	}
	if got := bounds("plain"); got != "9175040 604800000 1310720 delete" {
		t.Errorf("a topic that asks for nothing has %s", got)
	}
	r, err := adm.CreateTopic(ctx, 1, 1, map[string]*string{"retention.bytes": str("-1")}, "endless")
	message(r, err, "log is bounded")
	r, err = adm.CreateTopic(ctx, 1, 1, map[string]*string{"retention.bytes": str("200000000")}, "huge")
	message(r, err, "only 110MiB are not given")
	r, err = adm.CreateTopic(ctx, 1, 1, map[string]*string{"cleanup.policy": str("compact")}, "compacted")
	message(r, err, "not safe")
	if _, err = adm.CreateTopic(ctx, 1, 1, nil, "no/good"); !errors.Is(err, kerr.InvalidTopicException) {
		t.Errorf("a bad name: %v", err)
	}
	if _, err := adm.CreateTopic(ctx, 1, 1, nil, "plain"); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("a second plain: %v", err)
	}

	set := func(topic, key, value string) error {
		got, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
		if err != nil {
			return err
		}
		return got[0].Err
	}
	refused(set("plain", "retention.bytes", "-1"), "log is bounded")
	refused(set("plain", "retention.bytes", "150000000"), "not given")
	if err := set("plain", "retention.ms", "60000"); err != nil {
		t.Error(err)
	}
	if got, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "retention.bytes"}}, "plain"); err != nil || got[0].Err != nil {
		t.Error(err, got)
	}
	if got := bounds("plain"); got != "9175040 60000 1310720 delete" {
		t.Errorf("after deleting retention.bytes: %s", got)
	}
	if got, err := adm.AlterTopicConfigsState(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: str("1000000")}}, "plain"); err != nil || got[0].Err != nil {
		t.Error(err, got)
	}
	if got := bounds("plain"); got != "9175040 604800000 1310720 delete" {
		t.Errorf("after replacing all settings: %s", got)
	}
	if got, err := adm.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.retention.bytes", Value: str("-1")}}); err == nil {
		refused(got[0].Err, "configuration file")
	}
	if got, err := adm.UpdatePartitions(ctx, 40, "plain"); err != nil || !errors.Is(got["plain"].Err, kerr.PolicyViolation) {
		t.Errorf("40 partitions: %v %+v", err, got)
	}
	if got, err := adm.UpdatePartitions(ctx, 6, "plain"); err != nil || got["plain"].Err != nil {
		t.Errorf("6 partitions: %v %+v", err, got)
	}

	// Topics that share a request are created together or not at all.
	many, err := adm.CreateTopics(ctx, 1, 1, nil, "m1", "m2", "m3")
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range many {
		if r.Err == nil {
			t.Errorf("%s was created beyond the bound", name)
		}
	}
	if got := len(b.Topics()); got != 1 {
		t.Errorf("%d topics", got)
	}
	// Deleting gives the bytes back.
	if _, err := adm.DeleteTopics(ctx, "plain"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if r, err := adm.CreateTopic(ctx, 1, 1, nil, fmt.Sprint("n", i)); err != nil {
			t.Error(err, r.ErrMessage)
		}
	}
}

func TestEnsureTopics(t *testing.T) {
	cfg := testConfig(t)
	cfg.MaxBytes, cfg.TopicBytes = mib(160), mib(40)
	b := openTest(t, cfg)
	ctx := context.Background()
	if err := b.EnsureTopics(ctx, Topic{Name: "a", Partitions: 2, Bytes: mib(32), Retention: time.Hour}, Topic{Name: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureTopics(ctx, Topic{Name: "a", Partitions: 2, Bytes: mib(32), Retention: time.Hour}, Topic{Name: "b"}); err != nil {
		t.Fatal("a second time:", err)
	}
	if err := b.EnsureTopics(ctx, Topic{Name: "a", Partitions: 3, Bytes: mib(16), Retention: -1}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(b.Topics()); got != "[{a 2 16MiB -1ns} {b 4 40MiB 168h0m0s}]" {
		t.Error(got)
	}
	err := b.EnsureTopics(ctx, Topic{Name: "c", Bytes: mib(100)}, Topic{Name: "no good"}, Topic{Name: "a", Partitions: 2, Bytes: mib(120)}, Topic{Name: "d"})
	for _, want := range []string{"topic c: ", "topic no good: ", "topic a: ", "only 94MiB are not given", "broker.max_bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if len(b.Topics()) != 3 {
		t.Errorf("topics %v", b.Topics())
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = openTest(t, cfg)
	if got := len(b.Topics()); got != 3 {
		t.Errorf("%d topics after a restart", got)
	}
	if err := b.EnsureTopics(ctx, Topic{Name: "e", Bytes: mib(100)}); err == nil {
		t.Error("the bound was forgotten at the restart")
	}
}

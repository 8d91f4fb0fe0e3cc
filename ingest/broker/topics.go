package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"andon/event"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic is a topic and its bounds.
type Topic struct {
	Name string
	// Partitions; 0 means the configured number.
	Partitions int
	// Bytes is what all partitions together may hold; 0 means the configured size.
	Bytes event.Bytes
	// Retention counts from a record's arrival; 0 means the configured time, negative none but Bytes.
	Retention time.Duration
}

// Topics lists the topics by name, as they are.
func (b *Broker) Topics() []Topic {
	if !b.enter() {
		return nil
	}
	defer b.leave()
	var out []Topic
	for _, name := range b.names() {
		info := b.cluster.TopicInfo(name)
		if info == nil {
			continue
		}
		n := len(b.cluster.PartitionInfos(name))
		s := b.cfg.shareFrom(n, info.Configs)
		out = append(out, Topic{Name: name, Partitions: n, Bytes: event.Bytes(s.cost(n)), Retention: max(-1, time.Duration(s.millis)*time.Millisecond)})
	}
	return out
}

// EnsureTopics creates the topics that do not exist and gives those that do the bounds asked for. The number of partitions of a topic that exists stays as
// it is, because keys would move; a difference is logged. All faults are reported together.
func (b *Broker) EnsureTopics(ctx context.Context, topics ...Topic) error {
	if !b.enter() {
		return errClosed
	}
	defer b.leave()
	var errs []error
	for _, t := range topics {
		if err := b.ensure(ctx, t); err != nil {
			errs = append(errs, fmt.Errorf("topic %s: %w", t.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (b *Broker) ensure(ctx context.Context, t Topic) error {
	if refused := checkName(t.Name); refused != nil {
		return refused
	}
	if t.Partitions == 0 {
		t.Partitions = b.cfg.Partitions
	}
	if t.Bytes == 0 {
		t.Bytes = b.cfg.TopicBytes
	}
	if t.Retention == 0 {
		t.Retention = b.cfg.Retention
	}
	info := b.cluster.TopicInfo(t.Name)
	if info == nil {
		s, refused := shareOf(t.Bytes, t.Partitions, t.Retention)
		if refused != nil {
			return refused
		}
		return b.create(t.Name, t.Partitions, s)
	}
	has := len(b.cluster.PartitionInfos(t.Name))
	if has != t.Partitions {
		b.log.Warn("a topic keeps its number of partitions", "topic", t.Name, "partitions", has, "asked", t.Partitions)
	}
	s, refused := shareOf(t.Bytes, has, t.Retention)
	if refused != nil {
		return refused
	}
	if s == b.cfg.shareFrom(has, info.Configs) {
		return nil
	}
	return b.alter(ctx, t.Name, s)
}

func (b *Broker) create(name string, partitions int, s share) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if refused := b.fits(name, s.cost(partitions)); refused != nil {
		return refused
	}
	err := b.cluster.CreateTopic(name, int32(partitions), s.configs())
	if errors.Is(err, kerr.TopicAlreadyExists) {
		err = nil // another client was faster
	}
	if err == nil {
		b.topics[name] = struct{}{}
	}
	return err
}

// alter goes by the protocol, because kfake has no other way.
func (b *Broker) alter(ctx context.Context, name string, s share) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
	for k, v := range s.configs() {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = k, kmsg.IncrementalAlterConfigOpSet, &v
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.local))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	got, err := client.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return err
	}
	for _, r := range got.(*kmsg.IncrementalAlterConfigsResponse).Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			if r.ErrorMessage != nil {
				return errors.New(*r.ErrorMessage)
			}
			return err
		}
	}
	return nil
}

// names returns the topics, sorted. Some may have been deleted.
func (b *Broker) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.topics))
}

// allocated is what all topics but one may come to hold; b.mu is held.
func (b *Broker) allocatedLocked(but string) int64 {
	var n int64
	for name := range b.topics {
		info := b.cluster.TopicInfo(name)
		if info == nil {
			delete(b.topics, name)
			continue
		}
		if name != but {
			parts := len(b.cluster.PartitionInfos(name))
			n += b.cfg.shareFrom(parts, info.Configs).cost(parts)
		}
	}
	return n
}

// fits says whether topic name may hold cost bytes; b.mu is held.
func (b *Broker) fits(name string, cost int64) *refusal {
	budget := int64(b.cfg.budget())
	left := budget - b.allocatedLocked(name)
	if cost <= left {
		return nil
	}
	return refuse(kerr.PolicyViolation, "it may come to hold %s, but of the embedded broker's max_bytes (%s) only %s are not given to other topics: "+
		"give it fewer bytes or partitions, delete a topic, raise broker.max_bytes, or use Apache Kafka",
		mebibytes(cost), b.cfg.MaxBytes, mebibytes(max(left, 0)))
}

// warnOverBudget tells when max_bytes was lowered below what existing topics may hold.
func (b *Broker) warnOverBudget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.allocatedLocked(""); n > int64(b.cfg.budget()) {
		b.log.Warn("the topics may hold more than max_bytes: records will be refused when it is reached; give topics fewer bytes or raise max_bytes",
			"topics", mebibytes(n), "max_bytes", b.cfg.MaxBytes.String())
	}
}

func mebibytes(n int64) string { return strconv.FormatInt(n>>20, 10) + "MiB" }

// topicNames reads the topics that a stopped broker knows.
func topicNames(dir string) ([]string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "topics.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var file struct {
		Topics []struct {
			Name string `json:"name"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("topics.json: %w", err)
	}
	var out []string
	for _, t := range file.Topics {
		out = append(out, t.Name)
	}
	return out, nil
}

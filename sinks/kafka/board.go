package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
)

// Board is a queue of jobs, talk about them that all hear, and room for their files, in three topics. Those who take jobs are a consumer group, of which they are members only while they wait: a member that has
// taken one commits it and leaves, so that the next job goes to one that is idle, however few partitions there are and however long a job lasts. So the group's lag is how many jobs wait. It needs no transactions. Post, Tell, Save and Load are safe
// for concurrent use; Hear and Take are for one goroutine each.
type Board struct {
	publisher *Publisher
	topics    BoardTopics
	talk      *Journal
	files     *Vault
	log       *slog.Logger
}

// BoardTopics names the topics of a board. Jobs and Files may have any number of partitions, Events has one.
type BoardTopics struct{ Jobs, Events, Files string }

// boardGroup is the consumer group of those who take jobs.
const boardGroup = "andon.trainers"

const (
	// boardSession is how long a job waits for a member that died while it was idle.
	boardSession = 10 * time.Second
	// boardWithin is how long the brokers may take to tell the ends of the topic of events.
	boardWithin = 30 * time.Second
)

// Board opens a board, whose files have at most max bytes. What is said from now on is heard.
func (p *Publisher) Board(ctx context.Context, topics BoardTopics, max event.Bytes, log *slog.Logger) (*Board, error) {
	talk, err := p.journalFromNow(ctx, topics.Events, log)
	if err != nil {
		return nil, err
	}
	files, err := p.Vault(topics.Files, max, log)
	if err != nil {
		talk.Close()
		return nil, err
	}
	return &Board{publisher: p, topics: topics, talk: talk, files: files, log: log}, nil
}

// journalFromNow is Journal without its past.
func (p *Publisher) journalFromNow(ctx context.Context, topic string, log *slog.Logger) (*Journal, error) {
	ctx, cancel := context.WithTimeout(ctx, boardWithin)
	defer cancel()
	ends, err := kadm.NewClient(p.client).ListEndOffsets(ctx, topic)
	if err == nil {
		if err = ends.Error(); err == nil && len(ends[topic]) == 0 {
			err = kerr.UnknownTopicOrPartition
		}
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = errors.New("the topic does not exist: create it with one partition, or set kafka.create_topics: true")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", topic, err)
	}
	from := map[int32]kgo.Offset{}
	for id, end := range ends[topic] {
		from[id] = kgo.NewOffset().At(end.Offset)
	}
	opts := p.client.Opts()
	client, err := kgo.NewClient(append(opts[:len(opts):len(opts)], kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchMaxWait(time.Second), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return nil, err
	}
	return &Journal{topic: topic, log: log, client: client, count: p.metrics.published.WithLabelValues(topic)}, nil
}

// Post returns when the brokers have the job.
func (b *Board) Post(ctx context.Context, job string, order []byte) error {
	return b.publisher.Send(ctx, b.topics.Jobs, []byte(job), order, nil)
}

// Tell returns when the brokers have the word.
func (b *Board) Tell(ctx context.Context, job string, word []byte) error {
	return b.talk.Append(ctx, job, word)
}

// Hear calls f with every word, in order, until ctx ends; while the brokers are away it waits for them.
func (b *Board) Hear(ctx context.Context, f func(word []byte)) error {
	return b.talk.Follow(ctx, f, time.Second, func() {})
}

// Save keeps a file and returns where.
func (b *Board) Save(ctx context.Context, job string, file []byte) (string, error) {
	return b.files.Save(ctx, job, 0, file)
}

// Load gets a file from where it is kept.
func (b *Board) Load(ctx context.Context, place string) ([]byte, error) {
	return b.files.Load(ctx, place)
}

// Take joins the group, waits for the next job, calls accept with it, takes it out of the queue and leaves the group. Where accept fails, and where the group takes the job from this member first, it stays in
// the queue: the first error is returned, after the second it waits for another.
func (b *Board) Take(ctx context.Context, accept func(order []byte) error) error {
	opts := b.publisher.client.Opts()
	client, err := kgo.NewClient(append(opts[:len(opts):len(opts)], kgo.ConsumerGroup(boardGroup), kgo.ConsumeTopics(b.topics.Jobs), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(boardSession), kgo.HeartbeatInterval(time.Second), kgo.FetchMaxWait(time.Second), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// From when a job was read to when it is committed the group gives its partition to nobody, unless this member is taken for dead.
		kgo.BlockRebalanceOnPoll())...)
	if err != nil {
		return err
	}
	defer func() {
		client.AllowRebalance()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := client.LeaveGroupContext(last); err != nil {
			b.log.Debug("the group finds out by itself that a member has left", "group", boardGroup, "error", err)
		}
		client.Close()
	}()
	for {
		fetches := client.PollRecords(ctx, 1)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fetches.EachError(func(_ string, _ int32, err error) {
			b.log.Warn("the topic of jobs cannot be read now", "topic", b.topics.Jobs, "error", err)
		})
		records := fetches.Records()
		if len(records) == 0 {
			client.AllowRebalance()
			select { // an error that comes at once must not be asked for again and again
			case <-time.After(time.Second / 10):
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		if err := accept(records[0].Value); err != nil {
			return err
		}
		err := client.CommitRecords(ctx, records[0])
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.RebalanceInProgress), errors.Is(err, kerr.FencedInstanceID):
			b.log.Warn("a job went to another before it was taken", "error", err)
			client.AllowRebalance()
		default: // it may be committed, or not: who has accepted it does it
			b.log.Warn("it is not known whether a job is out of the queue: another may do it, too", "error", err)
			return nil
		}
	}
}

// Close lets go of the connections. Nothing may be running.
func (b *Board) Close() error {
	return errors.Join(b.talk.Close(), b.files.Close())
}

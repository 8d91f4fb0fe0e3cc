package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
	"andon/ingest/dial"
)

// Topic is a topic as it should be made.
type Topic struct {
	Name       string
	Partitions int32
	// Replicas is 1 when it is 0 and the broker has no default.
	Replicas int16
	// Retention and RetentionBytes (a partition) bound the log; 0 leaves the broker's default.
	Retention      time.Duration
	RetentionBytes event.Bytes
	// Compact keeps the last record of each key instead.
	Compact bool
}

// EnsureTopics makes the topics that the cluster does not have; those that exist are left as they are. It waits for the brokers up to ConnectTimeout.
func EnsureTopics(ctx context.Context, cfg Config, topics []Topic, log *slog.Logger) error {
	adm, err := admin(cfg, log)
	if err != nil {
		return err
	}
	defer adm.Close()
	err = await(ctx, cfg, false, func(ctx context.Context) error {
		_, err := adm.BrokerMetadata(ctx)
		return err
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range topics {
		replicas := t.Replicas
		if replicas == 0 {
			replicas = -1 // the broker's default
		}
		resp, err := adm.CreateTopic(ctx, max(t.Partitions, 1), replicas, t.configs(), t.Name)
		switch {
		case err == nil:
			log.Info("topic made", "topic", t.Name, "partitions", resp.NumPartitions)
		case errors.Is(err, kerr.TopicAlreadyExists):
		default:
			if resp.ErrMessage != "" {
				err = fmt.Errorf("%w (%s)", err, resp.ErrMessage)
			}
			errs = append(errs, fmt.Errorf("make the topic %s: %w", t.Name, advise(err)))
		}
	}
	return errors.Join(errs...)
}

func (t Topic) configs() map[string]*string {
	out := map[string]*string{}
	set := func(key, value string) { out[key] = &value }
	if t.Compact {
		set("cleanup.policy", "compact")
	}
	if t.Retention > 0 {
		set("retention.ms", strconv.FormatInt(t.Retention.Milliseconds(), 10))
	}
	if t.RetentionBytes > 0 {
		set("retention.bytes", strconv.FormatInt(int64(t.RetentionBytes), 10))
	}
	return out
}

// admin returns a client that does not ask twice, so that what is wrong is heard at once; await asks again where that helps.
func admin(cfg Config, log *slog.Logger) (*kadm.Client, error) {
	opts, err := connection(cfg, log)
	if err != nil {
		return nil, err
	}
	adm, err := kadm.NewOptClient(append(opts, kgo.RequestRetries(0))...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return adm, nil
}

// awaitTopic returns the topic's ID when all its partitions have leaders. Where the brokers were reached before, it waits for them as long as it takes.
func awaitTopic(ctx context.Context, cfg Config, topic string, reached bool, log *slog.Logger) (id [16]byte, err error) {
	adm, err := admin(cfg, log)
	if err != nil {
		return id, err
	}
	defer adm.Close()
	err = await(ctx, cfg, reached, func(ctx context.Context) error {
		meta, err := adm.Metadata(ctx, topic)
		if err != nil {
			return err
		}
		t := meta.Topics[topic]
		if errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("%w: %s", errNoTopic, topic)
		}
		if t.Err != nil {
			return t.Err
		}
		if len(t.Partitions) == 0 {
			return fmt.Errorf("the topic %s has no partitions", topic)
		}
		for _, p := range t.Partitions {
			if p.Err != nil {
				return p.Err
			}
		}
		id = t.ID
		return nil
	})
	if errors.Is(err, errNoTopic) {
		return id, fmt.Errorf("%w on %v: make it, or set kafka.create_topics: true", err, cfg.Brokers)
	}
	return id, err
}

var errNoTopic = errors.New("there is no such topic")

// hangups is how long brokers that never answered may hang up: some of them may just be starting, behind a proxy that is there.
const hangups = 3 * time.Second

// await calls f until it succeeds, fails for good, or ConnectTimeout is over, which does not count where the brokers were reached before. A missing topic is looked for
// a second longer: it may just have been made.
func await(ctx context.Context, cfg Config, reached bool, f func(context.Context) error) error {
	if !reached {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.ConnectTimeout)
		defer cancel()
	}
	began := time.Now()
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		missing := errors.Is(err, errNoTopic) && time.Since(began) > time.Second
		refused := permanent(err) || !reached && dial.Hangup(err) && time.Since(began) > hangups
		if missing || refused && ctx.Err() == nil {
			return advise(err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("kafka at %v does not answer within %s: %w: check kafka.brokers, kafka.tls and kafka.sasl, and that the brokers run", cfg.Brokers, cfg.ConnectTimeout, advise(err))
		}
	}
}

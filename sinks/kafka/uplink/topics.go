package uplink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ensure returns when the cluster has the route's topic, and that of evidence; it makes them where it may. Without this look the client itself would search for a
// topic for a while, and say less.
func (u *Uplink) ensure(ctx context.Context, r *route) error {
	names := []string{r.to}
	if u.cfg.Evidence.Topic != "" && u.deps.Evidence != nil {
		names = append(names, u.cfg.Evidence.Topic)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	adm := u.admin()
	meta, err := adm.Metadata(ctx, names...)
	if err != nil {
		return fmt.Errorf("ask the central cluster for %s: %w", strings.Join(names, ", "), ours(err))
	}
	for _, name := range names {
		switch err := meta.Topics[name].Err; {
		case err == nil && len(meta.Topics[name].Partitions) > 0:
			continue
		case err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition):
			return fmt.Errorf("topic %s of the central cluster: %w", name, err)
		case !u.cfg.CreateTopics:
			return fmt.Errorf("the central cluster has no topic %s: make it, or set uplink.create_topics: true", name)
		}
		made, err := adm.CreateTopic(ctx, r.count, -1, nil, name)
		switch {
		case err == nil:
			u.log.Info("a topic was made on the central cluster", "topic", name, "partitions", r.count)
		case !errors.Is(err, kerr.TopicAlreadyExists):
			if made.ErrMessage != "" {
				err = fmt.Errorf("%w (%s)", err, made.ErrMessage)
			}
			return fmt.Errorf("make the topic %s on the central cluster: %w", name, ours(err))
		}
	}
	return nil
}

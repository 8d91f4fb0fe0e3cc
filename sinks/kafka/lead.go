package kafka

import (
	"context"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// leadSession is how long a replica that has died leads on.
const leadSession = 10 * time.Second

// Lead returns what tells one replica of several that it leads: the one to which a consumer group gives the first partition of a topic. It calls turn, from one goroutine,
// each time that changes, until ctx ends, and then gives the lead away. A replica with an instance name gets the lead back where it comes again within the session.
func (p *Publisher) Lead(topic, group, instance string, log *slog.Logger) func(ctx context.Context, turn func(leads bool)) error {
	return func(ctx context.Context, turn func(leads bool)) error {
		turns := make(chan bool, 16)
		has := func(m map[string][]int32) bool {
			for _, id := range m[topic] {
				if id == 0 {
					return true
				}
			}
			return false
		}
		tell := func(leads bool) {
			select {
			case turns <- leads:
			case <-ctx.Done():
			}
		}
		opts := p.client.Opts()
		opts = append(opts[:len(opts):len(opts)], kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.DisableAutoCommit(),
			kgo.SessionTimeout(leadSession), kgo.HeartbeatInterval(time.Second),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
				if has(m) {
					tell(true)
				}
			}),
			kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
				if has(m) {
					tell(false)
				}
			}),
			kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
				if has(m) {
					tell(false)
				}
			}))
		if instance != "" {
			opts = append(opts, kgo.InstanceID(group+"."+instance))
		}
		client, err := kgo.NewClient(opts...)
		if err != nil {
			return err
		}
		client.PauseFetchTopics(topic) // the group alone is wanted
		polling := make(chan struct{})
		go func() {
			defer close(polling)
			for ctx.Err() == nil {
				client.PollFetches(ctx).EachError(func(_ string, _ int32, err error) {
					if ctx.Err() == nil {
						log.Warn("the group of those that may deliver alerts cannot be asked now", "group", group, "error", err)
						select {
						case <-ctx.Done():
						case <-time.After(time.Second):
						}
					}
				})
			}
		}()
		for {
			select {
			case leads := <-turns:
				turn(leads)
				continue
			case <-ctx.Done():
			}
			break
		}
		<-polling
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if instance != "" { // a static member would stay one until its session ends
			_, err := kadm.NewClient(client).LeaveGroup(last, kadm.LeaveGroup(group).InstanceIDs(group+"."+instance))
			if err != nil {
				log.Debug("the lead could not be given away, it ends with its session", "group", group, "error", err)
			}
		}
		client.Close()
		return nil
	}
}

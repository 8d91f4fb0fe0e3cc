package main

import (
	"context"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"
)

func inputSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Summary("Reads a topic as a member of a consumer group, from the beginning where the group has no offset.").
		Field(service.NewStringField("brokers")).
		Field(service.NewStringField("topic")).
		Field(service.NewStringField("group")).
		Field(service.NewIntField("batch").Default(2000).Description("most records of one partition in a batch")).
		Field(service.NewIntField("in_flight").Default(8).Description("most batches that are not acknowledged")).
		Field(service.NewDurationField("commit_interval").Default("1s"))
}

// input hands out the records of one partition at a time. An offset is marked for the commit once its batch and all earlier ones of the partition are
// acknowledged, so that a crash loses nothing.
type input struct {
	brokers, topic, group string
	batch                 int
	commit                time.Duration
	slots                 chan struct{}
	cl                    *kgo.Client
	done                  *progress
	pending               [][]*kgo.Record
}

func newInput(conf *service.ParsedConfig, _ *service.Resources) (service.BatchInput, error) {
	in := &input{done: newProgress()}
	var err error
	if in.brokers, err = conf.FieldString("brokers"); err != nil {
		return nil, err
	}
	if in.topic, err = conf.FieldString("topic"); err != nil {
		return nil, err
	}
	if in.group, err = conf.FieldString("group"); err != nil {
		return nil, err
	}
	if in.batch, err = conf.FieldInt("batch"); err != nil {
		return nil, err
	}
	slots, err := conf.FieldInt("in_flight")
	if err != nil {
		return nil, err
	}
	in.slots = make(chan struct{}, slots)
	if in.commit, err = conf.FieldDuration("commit_interval"); err != nil {
		return nil, err
	}
	return service.AutoRetryNacksBatched(in), nil
}

func (in *input) Connect(context.Context) error {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(in.brokers), kgo.ConsumeTopics(in.topic), kgo.ConsumerGroup(in.group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitMarks(), kgo.AutoCommitInterval(in.commit),
		kgo.FetchMaxPartitionBytes(4<<20),
	)
	if err != nil {
		return err
	}
	in.cl = cl
	return nil
}

func (in *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	for len(in.pending) == 0 {
		fetches := in.cl.PollRecords(ctx, 8*in.batch)
		if err := fetches.Err(); err != nil {
			return nil, nil, err
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for recs := p.Records; len(recs) > 0; {
				n := min(len(recs), in.batch)
				in.pending, recs = append(in.pending, recs[:n]), recs[n:]
			}
		})
	}
	select {
	case in.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	recs := in.pending[0]
	in.pending = in.pending[1:]
	batch := make(service.MessageBatch, len(recs))
	for i, r := range recs {
		batch[i] = service.NewMessage(r.Value)
		batch[i].MetaSetMut("kafka_key", r.Key)
	}
	last := recs[len(recs)-1]
	ack := in.done.begin(last)
	return batch, func(_ context.Context, err error) error {
		if err != nil {
			return nil // the batch is tried again: it keeps its slot
		}
		<-in.slots
		if r := ack(); r != nil {
			in.cl.MarkCommitRecords(r)
		}
		return nil
	}, nil
}

func (in *input) Close(context.Context) error {
	if in.cl != nil {
		in.cl.Close() // commits what is marked
	}
	return nil
}

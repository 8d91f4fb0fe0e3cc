package main

import (
	"context"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"
)

func outputSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Summary("Writes batches to a topic and acknowledges one when the broker has all of it.").
		Field(service.NewStringField("brokers")).
		Field(service.NewStringField("topic")).
		Field(service.NewIntField("max_in_flight").Default(8)).
		Field(service.NewBatchPolicyField("batching"))
}

type output struct {
	brokers, topic string
	cl             *kgo.Client
}

func newOutput(conf *service.ParsedConfig, _ *service.Resources) (out service.BatchOutput, policy service.BatchPolicy, inFlight int, err error) {
	o := &output{}
	if o.brokers, err = conf.FieldString("brokers"); err != nil {
		return nil, policy, 0, err
	}
	if o.topic, err = conf.FieldString("topic"); err != nil {
		return nil, policy, 0, err
	}
	if inFlight, err = conf.FieldInt("max_in_flight"); err != nil {
		return nil, policy, 0, err
	}
	if policy, err = conf.FieldBatchPolicy("batching"); err != nil {
		return nil, policy, 0, err
	}
	return o, policy, inFlight, nil
}

func (o *output) Connect(context.Context) error {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(o.brokers), kgo.DefaultProduceTopic(o.topic), kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(10*time.Millisecond), kgo.MaxBufferedRecords(200_000),
	)
	if err != nil {
		return err
	}
	o.cl = cl
	return nil
}

func (o *output) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	recs := make([]*kgo.Record, len(batch))
	for i, m := range batch {
		value, err := m.AsBytes()
		if err != nil {
			return err
		}
		recs[i] = &kgo.Record{Value: value}
		if key, ok := m.MetaGetMut("kafka_key"); ok {
			recs[i].Key, _ = key.([]byte)
		}
	}
	return o.cl.ProduceSync(ctx, recs...).FirstErr()
}

func (o *output) Close(context.Context) error {
	if o.cl != nil {
		o.cl.Close()
	}
	return nil
}

package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// install puts our rules before kfake's handlers. A rule returns the answer to a request that it refuses, and nil for one that kfake shall handle, which it
// may have changed. Rules run one at a time.
func (b *Broker) install() {
	b.rule(kmsg.Produce, func(r kmsg.Request) (kmsg.Response, error) { return b.onProduce(r.(*kmsg.ProduceRequest)) })
	b.rule(kmsg.OffsetCommit, func(r kmsg.Request) (kmsg.Response, error) { return b.onCommit(r.(*kmsg.OffsetCommitRequest)) })
	b.rule(kmsg.InitProducerID, func(r kmsg.Request) (kmsg.Response, error) { return b.onInitProducer(r.(*kmsg.InitProducerIDRequest)) })
	b.rule(kmsg.CreateTopics, func(r kmsg.Request) (kmsg.Response, error) { return b.onCreateTopics(r.(*kmsg.CreateTopicsRequest)) })
	b.rule(kmsg.CreatePartitions, func(r kmsg.Request) (kmsg.Response, error) {
		return b.onCreatePartitions(r.(*kmsg.CreatePartitionsRequest))
	})
	b.rule(kmsg.AlterConfigs, func(r kmsg.Request) (kmsg.Response, error) { return b.onAlter(r.(*kmsg.AlterConfigsRequest)) })
	b.rule(kmsg.IncrementalAlterConfigs, func(r kmsg.Request) (kmsg.Response, error) {
		return b.onIncrementalAlter(r.(*kmsg.IncrementalAlterConfigsRequest))
	})
	b.rule(kmsg.DeleteRecords, func(r kmsg.Request) (kmsg.Response, error) { return b.onDeleteRecords(r.(*kmsg.DeleteRecordsRequest)) })
}

func (b *Broker) rule(key kmsg.Key, decide func(kmsg.Request) (kmsg.Response, error)) {
	calls := 0
	var f func(kmsg.Request) (kmsg.Response, error, bool)
	f = func(req kmsg.Request) (kmsg.Response, error, bool) {
		if !b.enter() {
			return nil, errClosed, true
		}
		defer b.leave()
		// kfake remembers each connection's last request for as long as a control function lives, also of connections long gone.
		if calls++; calls%64 == 0 {
			b.cluster.DropControl()
			b.cluster.ControlKey(key.Int16(), f)
		} else {
			b.cluster.KeepControl()
		}
		resp, err := decide(req)
		return resp, err, resp != nil || err != nil
	}
	b.cluster.ControlKey(key.Int16(), f)
}

// onProduce refuses records for which there is no room, with an error that producers retry.
func (b *Broker) onProduce(req *kmsg.ProduceRequest) (kmsg.Response, error) {
	var n int64
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			n += int64(len(req.Topics[i].Partitions[j].Records))
		}
	}
	arrived := b.arrived.Load()
	lacking := b.space.room(n, arrived, int64(b.cfg.MinFree))
	b.tell(lacking)
	if lacking == "" {
		b.arrived.Store(arrived + n)
		if arrived+n-b.woken.Load() > b.cfg.slack()/4 {
			b.wakeJanitor(arrived + n)
		}
		return nil, nil
	}
	b.wakeJanitor(arrived)
	b.metrics.refused.WithLabelValues(refusedSpace).Inc()
	if req.Acks == 0 {
		return nil, kerr.KafkaStorageError // nobody waits for an answer: the connection is closed, as Kafka does
	}
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.ErrorMessage, rp.BaseOffset = p.Partition, kerr.KafkaStorageError.Code, &lacking, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

func (b *Broker) wakeJanitor(arrived int64) {
	b.woken.Store(arrived)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// tell logs when refusing begins and ends.
func (b *Broker) tell(lacking string) {
	if refusing := lacking != ""; b.refusing.Swap(refusing) != refusing {
		if refusing {
			b.log.Error("records are refused until there is room: free the disk, or raise max_bytes", "lacking", lacking)
		} else {
			b.log.Info("records are taken again")
		}
	}
}

// onCommit refuses commits when the disk is so full that one might be written in part. Records are refused long before.
func (b *Broker) onCommit(req *kmsg.OffsetCommitRequest) (kmsg.Response, error) {
	free, err := b.free(b.cfg.Dir)
	if err == nil && free >= int64(b.cfg.MinFree)/4 {
		return nil, nil
	}
	b.metrics.refused.WithLabelValues(refusedSpace).Inc()
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, kerr.CoordinatorNotAvailable.Code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

// onInitProducer refuses transactions. Of the errors that say no, every client takes this one as final; others are retried for ever by some.
func (b *Broker) onInitProducer(req *kmsg.InitProducerIDRequest) (kmsg.Response, error) {
	if req.TransactionalID == nil {
		return nil, nil
	}
	b.metrics.refused.WithLabelValues(refusedTransaction).Inc()
	b.log.Warn("a transactional producer was refused: transactions on the embedded broker do not survive a kill; use Apache Kafka (kafka.brokers)",
		"transactional_id", *req.TransactionalID)
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code
	return resp, nil
}

// onDeleteRecords keeps a partition's newest record: without any, its offsets would start again from zero at the next start.
func (b *Broker) onDeleteRecords(req *kmsg.DeleteRecordsRequest) (kmsg.Response, error) {
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			info := b.cluster.PartitionInfo(t.Topic, p.Partition)
			if info == nil || info.HighWatermark == info.LogStartOffset {
				continue
			}
			if p.Offset == -1 || p.Offset == info.HighWatermark {
				p.Offset = info.HighWatermark - 1
			}
		}
	}
	return nil, nil
}

package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (b *Broker) refusedPolicy(topic string, r *refusal) {
	b.metrics.refused.WithLabelValues(refusedPolicy).Inc()
	b.log.Warn("a client's request was refused", "topic", topic, "reason", r.text)
}

// withAnother is the answer for topics that share a request with a refused one.
var withAnother = refuse(kerr.InvalidRequest, "nothing was changed, because another topic of the same request was refused")

// onCreateTopics bounds the topics that clients create. If one cannot be bounded, none of the request is created.
func (b *Broker) onCreateTopics(req *kmsg.CreateTopicsRequest) (kmsg.Response, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	refused := make([]*refusal, len(req.Topics))
	var spent int64
	for i := range req.Topics {
		t := &req.Topics[i]
		if b.cluster.TopicInfo(t.Topic) != nil {
			continue // kfake says so
		}
		partitions := int(t.NumPartitions)
		if len(t.ReplicaAssignment) > 0 {
			partitions = len(t.ReplicaAssignment)
		} else if partitions == -1 {
			partitions = b.cfg.Partitions
		}
		if partitions < 1 {
			continue // kfake says so
		}
		if refused[i] = checkName(t.Topic); refused[i] != nil {
			continue
		}
		asked := make(map[string]*string, len(t.Configs))
		for _, c := range t.Configs {
			asked[c.Name] = c.Value
		}
		configs, s, r := b.cfg.settle(partitions, asked)
		if r == nil {
			r = b.fits(t.Topic, spent+s.cost(partitions))
		}
		if refused[i] = r; r != nil {
			continue
		}
		spent += s.cost(partitions)
		t.Configs = t.Configs[:0]
		for k, v := range configs {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = k, v
			t.Configs = append(t.Configs, c)
		}
	}
	if !slices.ContainsFunc(refused, func(r *refusal) bool { return r != nil }) {
		for _, t := range req.Topics {
			b.topics[t.Topic] = struct{}{} // one that kfake refuses is forgotten when it is next looked for
		}
		return nil, nil
	}
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	for i, t := range req.Topics {
		r := refused[i]
		if r == nil {
			r = withAnother
		} else {
			b.refusedPolicy(t.Topic, r)
		}
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode, rt.ErrorMessage = t.Topic, r.code.Code, &r.text
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

// onCreatePartitions counts added partitions.
func (b *Broker) onCreatePartitions(req *kmsg.CreatePartitionsRequest) (kmsg.Response, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	refused := make([]*refusal, len(req.Topics))
	any := false
	for i, t := range req.Topics {
		info := b.cluster.TopicInfo(t.Topic)
		if info == nil {
			continue
		}
		s := b.cfg.shareFrom(len(b.cluster.PartitionInfos(t.Topic)), info.Configs)
		if refused[i] = b.fits(t.Topic, s.cost(int(t.Count))); refused[i] != nil {
			any = true
		}
	}
	if !any {
		return nil, nil
	}
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	for i, t := range req.Topics {
		r := refused[i]
		if r == nil {
			r = withAnother
		} else {
			b.refusedPolicy(t.Topic, r)
		}
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic, rt.ErrorCode, rt.ErrorMessage = t.Topic, r.code.Code, &r.text
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

// alteration is one topic or broker of a request that changes settings.
type alteration struct {
	kind kmsg.ConfigResourceType
	name string
	want func(now map[string]*string) map[string]*string
	set  func(configs map[string]*string)
}

// judge settles all alterations, or says which are refused.
func (b *Broker) judge(all []alteration) []*refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	refused := make([]*refusal, len(all))
	any := false
	for i, a := range all {
		switch a.kind {
		case kmsg.ConfigResourceTypeBroker:
			refused[i] = refuse(kerr.PolicyViolation, "the embedded broker's settings are in the configuration file")
		case kmsg.ConfigResourceTypeTopic:
			info := b.cluster.TopicInfo(a.name)
			if info == nil {
				continue // kfake says so
			}
			n := len(b.cluster.PartitionInfos(a.name))
			configs, s, r := b.cfg.settle(n, a.want(info.Configs))
			if r == nil {
				r = b.fits(a.name, s.cost(n))
			}
			if refused[i] = r; r == nil {
				a.set(configs)
			}
		}
		any = any || refused[i] != nil
	}
	if !any {
		return nil
	}
	for i, r := range refused {
		if r == nil {
			refused[i] = withAnother
		} else {
			b.refusedPolicy(all[i].name, r)
		}
	}
	return refused
}

func (b *Broker) onAlter(req *kmsg.AlterConfigsRequest) (kmsg.Response, error) {
	var all []alteration
	for i := range req.Resources {
		r := &req.Resources[i]
		all = append(all, alteration{r.ResourceType, r.ResourceName,
			func(map[string]*string) map[string]*string {
				want := make(map[string]*string)
				for _, c := range r.Configs {
					want[c.Name] = c.Value
				}
				return want
			},
			func(configs map[string]*string) {
				r.Configs = r.Configs[:0]
				for k, v := range configs {
					c := kmsg.NewAlterConfigsRequestResourceConfig()
					c.Name, c.Value = k, v
					r.Configs = append(r.Configs, c)
				}
			}})
	}
	refused := b.judge(all)
	if refused == nil {
		return nil, nil
	}
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	for i, a := range all {
		rr := kmsg.NewAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName, rr.ErrorCode, rr.ErrorMessage = a.kind, a.name, refused[i].code.Code, &refused[i].text
		resp.Resources = append(resp.Resources, rr)
	}
	return resp, nil
}

func (b *Broker) onIncrementalAlter(req *kmsg.IncrementalAlterConfigsRequest) (kmsg.Response, error) {
	var all []alteration
	for i := range req.Resources {
		r := &req.Resources[i]
		all = append(all, alteration{r.ResourceType, r.ResourceName,
			func(want map[string]*string) map[string]*string {
				for _, c := range r.Configs {
					switch c.Op {
					case kmsg.IncrementalAlterConfigOpSet:
						want[c.Name] = c.Value
					case kmsg.IncrementalAlterConfigOpDelete:
						delete(want, c.Name)
					}
				}
				return want
			},
			func(configs map[string]*string) {
				kept := r.Configs[:0]
				for _, c := range r.Configs {
					if c.Op == kmsg.IncrementalAlterConfigOpDelete && configs[c.Name] == nil {
						kept = append(kept, c)
					}
				}
				r.Configs = kept
				for k, v := range configs {
					c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
					c.Name, c.Op, c.Value = k, kmsg.IncrementalAlterConfigOpSet, v
					r.Configs = append(r.Configs, c)
				}
			}})
	}
	refused := b.judge(all)
	if refused == nil {
		return nil, nil
	}
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	for i, a := range all {
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName, rr.ErrorCode, rr.ErrorMessage = a.kind, a.name, refused[i].code.Code, &refused[i].text
		resp.Resources = append(resp.Resources, rr)
	}
	return resp, nil
}

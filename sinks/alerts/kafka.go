package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"andon/event"
)

// Kafka sends each change of a matter to a topic of the appliance's own cluster, as a CloudEvent 1.0 in binary mode: the attributes are headers, the value is the matter
// as JSON, and the key its ID.
type Kafka struct {
	Topic string `yaml:"topic"`
}

func (k *Kafka) validate() error {
	if k.Topic == "" {
		return errors.New("topic: is empty")
	}
	return nil
}

type kafka struct {
	cfg *Kafka
	d   *Desk
}

func (k *kafka) refresh() time.Duration { return 0 }
func (k *kafka) close()                 {}

func (k *kafka) send(ctx context.Context, n *Notice) error {
	if k.d.deps.Publish == nil {
		return errors.New("there is no cluster to send to")
	}
	for _, m := range n.Matters {
		e := cloudEventOf(m, n.Links)
		body, err := json.Marshal(e.Data)
		if err != nil {
			return &refusal{err}
		}
		if err := k.d.deps.Publish(ctx, k.cfg.Topic, m.ID, body, []event.Header{
			{Key: "ce_specversion", Value: []byte(e.SpecVersion)}, {Key: "ce_id", Value: []byte(e.ID)}, {Key: "ce_source", Value: []byte(e.Source)},
			{Key: "ce_type", Value: []byte(e.Type)}, {Key: "ce_subject", Value: []byte(e.Subject)}, {Key: "ce_time", Value: e.Time.AppendFormat(nil, time.RFC3339Nano)},
			{Key: "content-type", Value: []byte(e.ContentType)},
		}); err != nil {
			return err
		}
	}
	return nil
}

package kafka

import (
	"encoding/json"

	"andon/event"

	"github.com/twmb/franz-go/pkg/kgo"
)

// sketch is the record of a sketch: the pipeline is the key, and the value is event.Sketch as JSON. The position in it is that of the record that completed the piece's last window.
func sketch(topic string, s *event.Sketch) *kgo.Record {
	v, err := json.Marshal(s)
	if err != nil {
		panic(err) // its numbers are finite: counts, and sums of ranks and of readings below 1e37
	}
	return &kgo.Record{Topic: topic, Key: []byte(s.Pipeline), Value: v, Headers: position(s.Position, s.Pipeline)}
}

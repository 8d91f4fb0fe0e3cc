package broker

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"andon/event"

	"github.com/twmb/franz-go/pkg/kerr"
)

// refusal is a request that the broker declines: the code is for the client, the text for its person.
type refusal struct {
	code *kerr.Error
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.code }

func refuse(code *kerr.Error, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// share is what one partition of a topic may hold.
type share struct {
	retention int64 // bytes; closed segments beyond are removed
	segment   int64 // bytes; a segment is closed when it has grown past this
	millis    int64 // age, from arrival; negative: no bound
}

// cost is what partitions of this share may come to hold on disk.
func (s share) cost(partitions int) int64 { return int64(partitions) * (s.retention + s.segment) }

// segmentOf chooses the grain in which records are let go: an eighth of what a partition holds, so that little is kept too long or let go too early.
func segmentOf(retention int64) int64 { return min(max(retention/7, 1<<20), 64<<20) }

// shareOf divides a topic's bytes among its partitions.
func shareOf(topic event.Bytes, partitions int, retention time.Duration) (share, *refusal) {
	each := int64(topic) / int64(partitions)
	if each < minPartition {
		return share{}, refuse(kerr.PolicyViolation, "%s over %d partitions is less than 2MiB for each: give the topic more bytes or fewer partitions",
			topic, partitions)
	}
	s := share{segment: min(max(each/8, 1<<20), 64<<20), millis: -1}
	s.retention = each/8*8 - s.segment
	if retention > 0 {
		s.millis = retention.Milliseconds()
	}
	return s, nil
}

// settle turns the configuration that a client asks for into one that is bounded, or says why it cannot be. The result is a new map with retention.bytes,
// retention.ms and segment.bytes always set.
func (c Config) settle(partitions int, asked map[string]*string) (map[string]*string, share, *refusal) {
	got := make(map[string]*string, len(asked)+4)
	for k, v := range asked {
		if v != nil {
			got[k] = v
		}
	}
	if v := got["cleanup.policy"]; v != nil && *v != "delete" {
		// Compaction here removes a partition's files before it writes the new ones: a kill in between loses the topic.
		return nil, share{}, refuse(kerr.PolicyViolation,
			"cleanup.policy=%s is not safe on the embedded broker: use delete with retention.ms=-1, or Apache Kafka", *v)
	}
	if v := got["max.message.bytes"]; v != nil {
		n, err := strconv.ParseInt(*v, 10, 64)
		if err != nil || n < 1 || n > int64(c.MaxMessage) {
			return nil, share{}, refuse(kerr.PolicyViolation, "max.message.bytes=%s is not between 1 and %d, the broker's max_message", *v, c.MaxMessage)
		}
	}
	s, refused := shareOf(c.TopicBytes, partitions, c.Retention)
	if v := got["retention.bytes"]; v != nil {
		n, err := strconv.ParseInt(*v, 10, 64)
		switch {
		case err != nil || n >= 0 && n < minPartition/2:
			return nil, share{}, refuse(kerr.PolicyViolation, "retention.bytes=%s: write at least %d, for each partition", *v, minPartition/2)
		case n < 0:
			return nil, share{}, refuse(kerr.PolicyViolation,
				"retention.bytes=%s means no bound, and the embedded broker's log is bounded: write a size for each partition, or use Apache Kafka", *v)
		}
		s.retention, s.segment, refused = n, segmentOf(n), nil
		if c.Retention > 0 {
			s.millis = c.Retention.Milliseconds()
		} else {
			s.millis = -1
		}
	}
	if refused != nil {
		return nil, share{}, refused
	}
	if v := got["retention.ms"]; v != nil {
		n, err := strconv.ParseInt(*v, 10, 64)
		if err != nil {
			return nil, share{}, refuse(kerr.PolicyViolation, "retention.ms=%s is not a number of milliseconds", *v)
		}
		s.millis = max(n, -1)
	}
	for k, v := range s.configs() {
		got[k] = &v
	}
	return got, s, nil
}

func (s share) configs() map[string]string {
	return map[string]string{
		"cleanup.policy":  "delete",
		"retention.bytes": strconv.FormatInt(s.retention, 10),
		"retention.ms":    strconv.FormatInt(s.millis, 10),
		"segment.bytes":   strconv.FormatInt(s.segment, 10),
	}
}

// shareFrom reads a topic's settings back; what is missing or broken counts as the default, so that nothing is ever unbounded.
func (c Config) shareFrom(partitions int, configs map[string]*string) share {
	_, s, refused := c.settle(max(partitions, 1), configs)
	if refused != nil {
		s = share{retention: minPartition - minPartition/2, segment: minPartition / 2, millis: c.Retention.Milliseconds()}
	}
	return s
}

var legalTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func checkName(topic string) *refusal {
	if !legalTopic.MatchString(topic) || topic == "." || topic == ".." {
		return refuse(kerr.InvalidTopicException, "%q is not a topic's name: up to 249 of letters, digits, dot, underscore and hyphen", topic)
	}
	return nil
}

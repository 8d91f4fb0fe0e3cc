package uplink

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// brake keeps what goes up within a rate. It counts bytes as they are written to connections, packed, and lets the next transaction wait until they are paid off: so the
// mean holds to the byte, and one transaction at most runs ahead of it.
type brake struct {
	rate    int64 // bytes a second; 0: none
	counter prometheus.Counter
	now     func() time.Time

	mu   sync.Mutex
	debt float64 // bytes
	at   time.Time
}

func newBrake(rate int64, counter prometheus.Counter) *brake {
	return &brake{rate: rate, counter: counter, now: time.Now}
}

// OnBrokerWrite is called by the client library after each request.
func (b *brake) OnBrokerWrite(_ kgo.BrokerMetadata, _ int16, n int, _, _ time.Duration, _ error) {
	b.counter.Add(float64(n))
	b.spend(n)
}

func (b *brake) spend(n int) {
	if b.rate == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.payLocked()
	b.debt += float64(n)
}

// payLocked takes off what the time since the last look is worth. Time in which nothing was owed is worth nothing.
func (b *brake) payLocked() {
	now := b.now()
	b.debt = max(0, b.debt-float64(b.rate)*now.Sub(b.at).Seconds())
	b.at = now
}

// owed is how long it takes to pay off what was sent.
func (b *brake) owed() time.Duration {
	if b.rate == 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.payLocked()
	return time.Duration(b.debt / float64(b.rate) * float64(time.Second))
}

// wait returns when nothing is owed, or ctx ends.
func (b *brake) wait(ctx context.Context) error {
	for {
		d := b.owed()
		if d <= 0 {
			return ctx.Err()
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// most is how many bytes a transaction may have, so that its readers do not wait for a slow line for long.
func (b *brake) most(batch int64) int64 {
	if b.rate == 0 {
		return batch
	}
	return min(batch, max(2*b.rate, 16<<10))
}

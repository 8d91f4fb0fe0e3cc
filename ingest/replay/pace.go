package replay

import (
	"context"
	"time"
)

// most is how far behind its time a replay may fall and still hurry to catch up. After a longer stall (a suspended machine, a broker that was away) the
// pace goes on from where it is: days of rows in one burst help nobody.
const most = time.Minute

// pace holds rows back until their time has come.
type pace struct {
	speed float64 // seconds of event time in a second; 0: no pace
	rate  float64 // rows a second at most; 0: no bound
	fast  int64   // rows that are free of speed

	begun bool
	event int64 // the event time that belongs to wall
	wall  time.Time
	slot  time.Time // when the rate allows the next row
	timer *time.Timer

	behind time.Duration // of the last row
	stalls int           // how often the pace had to go on from where it was
}

// wait returns when a row of event time t may go, or ctx's error.
func (p *pace) wait(ctx context.Context, t int64) error {
	now := time.Now()
	due := now
	p.behind = 0
	if p.fast > 0 {
		p.fast--
	} else if p.speed > 0 {
		if !p.begun {
			p.begun, p.event, p.wall = true, t, now
		}
		due = p.wall.Add(time.Duration(float64(t-p.event) / p.speed))
		if late := now.Sub(due); late > most {
			p.event, p.wall, due = t, now, now
			p.stalls++
		} else if late > 0 {
			p.behind = late
		}
	}
	if p.rate > 0 {
		// A slot that was not used is lost, but for a tenth of a second: timers are not exact.
		if least := now.Add(-100 * time.Millisecond); p.slot.Before(least) {
			p.slot = least
		}
		if p.slot.After(due) {
			due = p.slot
		}
		p.slot = p.slot.Add(time.Duration(float64(time.Second) / p.rate))
	}
	// Shorter waits cost more than they space out.
	if d := due.Sub(now); d >= time.Millisecond {
		if p.timer == nil {
			p.timer = time.NewTimer(d)
		} else {
			p.timer.Reset(d)
		}
		select {
		case <-p.timer.C:
		case <-ctx.Done():
			p.timer.Stop()
		}
	}
	return ctx.Err()
}

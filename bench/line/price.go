package main

import (
	"fmt"
	"time"
)

// print shows the rounds, and a line for bench/README.md.
func (r *deliveryResult) print(p *printer) {
	p.line("\ndelivery, %s: %s, %d rows of %d bytes a turn, flush %v", r.Job, r.What, r.Rows, r.Bytes, r.Flush)
	rate := func(d time.Duration) float64 { return float64(r.Rows) / d.Seconds() }
	p.columns(func(row func(...any)) {
		row("round", "delivery", "records/s", "records/CPU-s", "CPU s", "andon", "ClickHouse", "Kafka", "blocks", "published", "start s", "load", "ratio", "by CPU")
		for i, o := range r.Rounds {
			show := func(way string, d deliveryCost, rest ...any) {
				row(append([]any{i + 1, way, fmt.Sprintf("%.0f", rate(d.Wall)), fmt.Sprintf("%.0f", rate(d.cpu())), seconds(d.cpu()), seconds(d.Own), seconds(d.Engine),
					seconds(d.Broker), d.Blocks, d.Published, seconds(d.Start), o.Load}, rest...)...)
			}
			show("at least once", o.Loose)
			show("exactly once", o.Once, fmt.Sprintf("%.3f", o.Speed), fmt.Sprintf("%.3f", o.Frugality))
		}
	})
	p.line("| job | records/s at least once | exactly once | ratio (rounds) | records per CPU-second | exactly once | ratio (rounds) | price, goal %.0f %% |", 100*priceGoal)
	of := func(f func(deliveryRound) float64) float64 { return median(r.Rounds, f) }
	verdict := "met"
	if min(r.Speed, r.Frugality) < 1-priceGoal {
		verdict = "missed"
	}
	p.line("| %s | %.0f k | %.0f k | %s | %.0f k | %.0f k | %s | %.1f %%, by CPU %.1f %%: %s |", r.Job,
		of(func(o deliveryRound) float64 { return rate(o.Loose.Wall) })/1e3, of(func(o deliveryRound) float64 { return rate(o.Once.Wall) })/1e3,
		spread(r.Rounds, r.Speed, func(o deliveryRound) float64 { return o.Speed }),
		of(func(o deliveryRound) float64 { return rate(o.Loose.cpu()) })/1e3, of(func(o deliveryRound) float64 { return rate(o.Once.cpu()) })/1e3,
		spread(r.Rounds, r.Frugality, func(o deliveryRound) float64 { return o.Frugality }), 100*(1-r.Speed), 100*(1-r.Frugality), verdict)
}

func spread(all []deliveryRound, middle float64, of func(deliveryRound) float64) string {
	least, most := of(all[0]), of(all[0])
	for _, o := range all {
		least, most = min(least, of(o)), max(most, of(o))
	}
	return fmt.Sprintf("%.3f (%.3f–%.3f)", middle, least, most)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

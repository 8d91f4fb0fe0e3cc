package features

// advance moves an asset's watermark into slot now: all slots before it close.
func (p *Partition) advance(a *asset, now int64, emit Emit) error {
	for a.cells.open > 0 && a.cells.low < now {
		if err := p.closeLowest(a, emit); err != nil {
			return err
		}
	}
	a.next = max(a.next, now)
	return p.closeComplete(a, emit)
}

// closeComplete closes the slots that need not wait for the watermark.
func (p *Partition) closeComplete(a *asset, emit Emit) error {
	c := &a.cells
	for p.complete && c.open > 0 && (c.low == a.next || a.last == never) && int(c.read[c.index(c.low)]) == p.signals {
		if err := p.closeLowest(a, emit); err != nil {
			return err
		}
	}
	return nil
}

// closeLowest closes the lowest slot with readings.
func (p *Partition) closeLowest(a *asset, emit Emit) error {
	c := &a.cells
	n := p.signals
	k, i := c.low, c.index(c.low)
	values, at := c.value[i*n:(i+1)*n], c.at[i*n:(i+1)*n]
	if int(c.read[i]) == n {
		at = nil
	}
	// The slot is emptied after its values are used, and also if that fails: the caller gives up then.
	err := p.closeSlot(a, k, values, at, emit)
	c.drop(n)
	return err
}

// closeSlot closes slot k with the values read in it. A value whose entry in at is never was not read; a nil at means that all were.
func (p *Partition) closeSlot(a *asset, k int64, values []float64, at []int64, emit Emit) error {
	if a.last != never && k-a.last > 1 {
		if k-a.last-1 > p.maxGap {
			for s := range a.gap {
				a.gap[s] = int32(p.maxGap) + 1
			}
			a.gaps, a.unknown, a.age = true, p.signals, 0
		} else {
			for e := a.last + 1; e < k; e++ {
				p.fill(a)
				if err := p.step(a, e, emit); err != nil {
					return err
				}
			}
		}
	}
	if at == nil {
		if a.gaps {
			clear(a.gap)
			a.gaps, a.unknown = false, 0
		}
		copy(a.prev, values)
	} else {
		p.take(a, values, at)
	}
	a.last = k
	a.next = max(a.next, k+1)
	return p.step(a, k, emit)
}

// take puts a slot's readings over the values before.
func (p *Partition) take(a *asset, values []float64, at []int64) {
	for s := range a.gap {
		if at[s] == never {
			p.miss(a, s)
			continue
		}
		if int64(a.gap[s]) > p.maxGap {
			a.unknown--
		}
		a.gap[s] = 0
		a.prev[s] = values[s]
	}
}

// fill lets one slot without readings pass.
func (p *Partition) fill(a *asset) {
	for s := range a.gap {
		p.miss(a, s)
	}
}

func (p *Partition) miss(a *asset, s int) {
	if int64(a.gap[s]) > p.maxGap {
		return
	}
	a.gaps = true
	a.gap[s]++
	if int64(a.gap[s]) > p.maxGap {
		a.unknown++
	}
}

// step adds slot k, whose values are in prev, to the asset's life, and makes a window if it is one.
func (p *Partition) step(a *asset, k int64, emit Emit) error {
	if a.unknown > 0 {
		a.age = 0
		return nil
	}
	if a.age == 0 {
		a.head = 0
	}
	a.age++
	p.smooth(a)
	row := a.ring[a.head*p.width : (a.head+1)*p.width]
	ema := a.ema[:p.signals]
	if p.recipe.Baseline > 0 {
		base, value, change := a.base[:len(ema)], row[:len(ema)], row[len(ema):2*len(ema)]
		for s, e := range ema {
			value[s], change[s] = float32(e), float32(e-base[s])
		}
	} else {
		value := row[:len(ema)]
		for s, e := range ema {
			value[s] = float32(e)
		}
	}
	if p.recipe.Age {
		row[p.width-1] = float32(a.age)
	}
	if a.head++; a.head == p.recipe.Length {
		a.head = 0
	}
	if a.age < int64(p.recipe.Length) || emit == nil || p.stride > 1 && k-floorDiv(k, p.stride)*p.stride != 0 {
		return nil
	}
	w := &p.window
	w.Asset, w.Start, w.End = a.name, (k-int64(p.recipe.Length)+1)*p.grid, (k+1)*p.grid
	w.ring, w.head = a.ring, a.head
	return emit(w)
}

// smooth moves the averages by the slot's values. The products are rounded by conversion, so that no machine fuses them into another result.
func (p *Partition) smooth(a *asset) {
	prev := a.prev
	ema, base := a.ema[:len(prev)], a.base[:len(prev)]
	switch weight := p.recipe.Smooth; {
	case a.age == 1:
		copy(ema, prev)
		copy(base, prev)
		return
	case weight == 1:
		copy(ema, prev)
	default:
		for s, x := range prev {
			ema[s] += float64(weight * (x - ema[s]))
		}
	}
	if a.age <= int64(p.recipe.Baseline) {
		n := float64(a.age)
		for s, x := range prev {
			base[s] += (x - base[s]) / n
		}
	}
}

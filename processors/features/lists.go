package features

import "strings"

// clone keeps an asset's name apart from the record that it was read from.
func clone(name string) string { return strings.Clone(name) }

// append puts a new asset at the end of both lists.
func (p *Partition) append(a *asset) {
	a.elder, a.younger = p.youngest, nil
	if p.youngest != nil {
		p.youngest.younger = a
	} else {
		p.eldest = a
	}
	p.youngest = a
	p.appendLoudest(a)
}

func (p *Partition) appendLoudest(a *asset) {
	a.touched = p.clock
	a.quieter, a.louder = p.loudest, nil
	if p.loudest != nil {
		p.loudest.louder = a
	} else {
		p.quietest = a
	}
	p.loudest = a
}

// touch moves an asset to the end of the list by last row.
func (p *Partition) touch(a *asset) {
	if a == p.loudest {
		a.touched = p.clock
		return
	}
	p.unlinkQuiet(a)
	p.appendLoudest(a)
}

func (p *Partition) unlinkQuiet(a *asset) {
	if a.quieter != nil {
		a.quieter.louder = a.louder
	} else {
		p.quietest = a.louder
	}
	if a.louder != nil {
		a.louder.quieter = a.quieter
	} else {
		p.loudest = a.quieter
	}
}

// remove takes an asset out of both lists.
func (p *Partition) remove(a *asset) {
	p.unlinkQuiet(a)
	if a.elder != nil {
		a.elder.younger = a.younger
	} else {
		p.eldest = a.younger
	}
	if a.younger != nil {
		a.younger.elder = a.elder
	} else {
		p.youngest = a.elder
	}
	a.quieter, a.louder, a.elder, a.younger = nil, nil, nil, nil
}

package processors

import (
	"encoding/binary"
	"errors"

	"andon/model"
)

// A snapshot of a state that is watched begins with watchedVersion, then the length of the features' own part, that, and the watch's: version, learned profile, monitor, each with its length.
const watchedVersion = 0xd1

// snapshot appends the whole state of a partition.
func (p *Pipeline) snapshot(dst []byte) []byte {
	w := p.watch
	if w == nil || w.monitor == nil {
		return p.state.Snapshot(dst)
	}
	inner := p.state.Snapshot(nil)
	dst = append(dst, watchedVersion)
	dst = block(dst, inner)
	dst = block(dst, []byte(w.model.Version))
	var profile []byte
	if w.learned {
		profile, _ = w.monitor.Profile().AppendBinary(nil) // numbers only; without it the reference is learned anew
	}
	return block(block(dst, profile), w.monitor.AppendState(nil))
}

// restoreState takes a snapshot's state, or changes nothing.
func (p *Pipeline) restoreState(data []byte) error {
	if len(data) == 0 || data[0] != watchedVersion {
		return p.state.Restore(data)
	}
	rest := data[1:]
	var parts [4][]byte
	for i := range parts {
		var ok bool
		if parts[i], rest, ok = unblock(rest); !ok {
			return errors.New("the snapshot is damaged")
		}
	}
	if len(rest) > 0 {
		return errors.New("the snapshot is damaged")
	}
	if err := p.state.Restore(parts[0]); err != nil {
		return err
	}
	if p.watch != nil {
		p.watch.saved = &watched{version: string(parts[1]), monitor: parts[3]}
		if len(parts[2]) > 0 {
			p.watch.saved.profile = parts[2]
		}
	}
	return nil
}

func block(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func unblock(b []byte) (part, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || v > uint64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(v)], b[n+int(v):], true
}

// watched returns the model that is watched: the champion, if its windows are the pipeline's.
func (l *lane) watched() *model.Model {
	if !l.fits {
		return nil
	}
	return l.model
}

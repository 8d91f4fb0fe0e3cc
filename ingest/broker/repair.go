package broker

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// What kfake (v0.0.0-20260918054303) leaves undone after a kill, and this file does before it starts:
//   - A torn entry in groups.log or pids.log is skipped when it is read but not cut off, so that all later entries are lost at the next start.
//   - A torn index file shifts the entries after it; one that then looks like an open transaction hides records from read_committed consumers.
//   - seq_windows.json, by which a producer's repeated batch is told from a new one, is written at a clean stop only: after a kill it is of an
//     earlier day, and an idempotent producer that retries is refused or doubled. The batches themselves tell, as they do in Kafka.

// repair mends the log's folder. clean tells that the last stop was an orderly one.
func repair(dir string, clean bool) error {
	for _, name := range []string{"groups.log", "pids.log"} {
		if _, err := cutTorn(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	parts, err := partitions(dir)
	if err != nil || clean {
		return err
	}
	windows := sequences{Version: 1, Windows: []sequence{}}
	for _, p := range parts {
		segs, err := p.segments()
		if err != nil {
			return err
		}
		for _, s := range segs {
			if err := dropTornIndex(strings.TrimSuffix(s.name, ".dat") + ".idx"); err != nil {
				return err
			}
		}
		w, err := p.sequences(segs)
		if err != nil {
			return err
		}
		windows.Windows = append(windows.Windows, w...)
	}
	raw, err := json.Marshal(windows)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, "seq_windows.json"), raw)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cutTorn cuts a state log after its last whole entry and returns how many bytes went. An entry is the length of what follows the checksum (4 bytes, little
// endian), the checksum of that (CRC-32C), a version (2 bytes) and data. It is safe while kfake has the file open: kfake appends.
func cutTorn(name string) (int64, error) {
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	whole := 0
	for whole+10 <= len(raw) {
		size := int(binary.LittleEndian.Uint32(raw[whole:]))
		if size < 2 || size > len(raw)-whole-8 {
			break
		}
		if crc32.Checksum(raw[whole+8:whole+8+size], castagnoli) != binary.LittleEndian.Uint32(raw[whole+4:]) {
			break
		}
		whole += 8 + size
	}
	if whole == len(raw) {
		return 0, nil
	}
	if err := os.Truncate(name, int64(whole)); err != nil {
		return 0, fmt.Errorf("cut the torn end of %s: %w", name, err)
	}
	return int64(len(raw) - whole), nil
}

const indexEntry = 15

// dropTornIndex removes an index file whose entries are no longer whole. Without it kfake takes every batch as outside of transactions, which on this
// broker all are.
func dropTornIndex(name string) error {
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	torn := len(raw)%indexEntry != 0
	for i := 0; i+indexEntry <= len(raw) && !torn; i += indexEntry {
		e := raw[i : i+indexEntry]
		torn = byte(crc32.Checksum(e[2:], castagnoli)) != e[1] || e[14]&1 != 0
	}
	if !torn {
		return nil
	}
	return os.Remove(name)
}

// partition is one partition's folder.
type partition struct {
	dir   string
	topic string
	num   int32
}

// segment is one file of batches.
type segment struct {
	name string
	base int64 // offset of the first record
	size int64
	// written is when something was last appended, Unix milliseconds.
	written int64
}

// partitions lists the partitions that have files.
func partitions(dir string) ([]partition, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "partitions"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []partition
	for _, e := range entries {
		at := strings.LastIndexByte(e.Name(), '-')
		if at < 0 || !e.IsDir() {
			continue
		}
		topic, err := url.PathUnescape(e.Name()[:at])
		num, err2 := strconv.ParseInt(e.Name()[at+1:], 10, 32)
		if err != nil || err2 != nil {
			continue
		}
		out = append(out, partition{filepath.Join(dir, "partitions", e.Name()), topic, int32(num)})
	}
	return out, nil
}

// partitionDir is where kfake keeps a partition.
func partitionDir(dir, topic string, num int32) string {
	return filepath.Join(dir, "partitions", fmt.Sprintf("%s-%d", url.PathEscape(topic), num))
}

// segments lists the partition's files in the order of their offsets.
func (p partition) segments() ([]segment, error) {
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []segment
	for _, e := range entries {
		number, ok := strings.CutSuffix(e.Name(), ".dat")
		if !ok {
			continue
		}
		base, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // let go meanwhile
		}
		out = append(out, segment{filepath.Join(p.dir, e.Name()), base, info.Size(), info.ModTime().UnixMilli()})
	}
	slices.SortFunc(out, func(a, b segment) int {
		if a.base < b.base {
			return -1
		}
		return 1
	})
	return out, nil
}

// sequences is the content of seq_windows.json.
type sequences struct {
	Version int        `json:"version"`
	Windows []sequence `json:"windows"`
}

// sequence is what a partition knows of one producer: its last five batches in a ring, and the sequence number that must come next.
type sequence struct {
	PID     int64    `json:"pid"`
	Topic   string   `json:"topic"`
	Part    int32    `json:"partition"`
	Entries [5]batch `json:"entries"`
	Count   uint8    `json:"count"`
	At      uint8    `json:"at"`
	Epoch   int16    `json:"epoch"`
	Seen    bool     `json:"seen"`
	NextSeq int32    `json:"next_seq"`
}

type batch struct {
	FirstSeq int32 `json:"first_seq"`
	NextSeq  int32 `json:"next_seq"`
	Offset   int64 `json:"offset"`
}

// sequences reads, from the headers of the batches in the last two segments, what each producer wrote last. A producer whose last batch is older is taken
// as unknown, and then any sequence number is accepted.
func (p partition) sequences(segs []segment) ([]sequence, error) {
	byPID := make(map[int64]*sequence)
	var order []int64
	for _, s := range segs[max(0, len(segs)-2):] {
		err := eachBatch(s.name, func(h batchHeader) {
			if h.pid < 0 {
				return
			}
			w := byPID[h.pid]
			if w == nil {
				w = &sequence{PID: h.pid, Topic: p.topic, Part: p.num, Epoch: h.epoch, Seen: true}
				byPID[h.pid] = w
				order = append(order, h.pid)
			}
			if w.Epoch != h.epoch {
				*w = sequence{PID: h.pid, Topic: p.topic, Part: p.num, Epoch: h.epoch, Seen: true}
			}
			// The sequence counts modulo 2^31-1, as kfake counts it.
			w.NextSeq = int32((int64(h.firstSeq) + int64(h.records)) % (1<<31 - 1))
			w.Entries[w.At] = batch{h.firstSeq, w.NextSeq, h.offset}
			w.At = (w.At + 1) % 5
			w.Count = min(w.Count+1, 5)
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]sequence, 0, len(order))
	for _, pid := range order {
		out = append(out, *byPID[pid])
	}
	return out, nil
}

type batchHeader struct {
	offset   int64
	pid      int64
	epoch    int16
	firstSeq int32
	records  int32
}

// eachBatch reads the headers of a segment's whole batches (Kafka's record batch format, version 2). It ends, as kfake does, at the first that is not.
func eachBatch(name string, f func(batchHeader)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<20)
	var h [61]byte
	for {
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return endOrError(name, err)
		}
		body := int64(binary.BigEndian.Uint32(h[8:])) - int64(len(h)-12)
		if body < 0 || body > 1<<30 || h[16] != 2 {
			return nil
		}
		sum := crc32.New(castagnoli)
		sum.Write(h[21:])
		if _, err := io.CopyN(sum, in, body); err != nil {
			return endOrError(name, err)
		}
		if sum.Sum32() != binary.BigEndian.Uint32(h[17:]) {
			return nil
		}
		f(batchHeader{
			offset:   int64(binary.BigEndian.Uint64(h[0:])),
			pid:      int64(binary.BigEndian.Uint64(h[43:])),
			epoch:    int16(binary.BigEndian.Uint16(h[51:])),
			firstSeq: int32(binary.BigEndian.Uint32(h[53:])),
			records:  int32(binary.BigEndian.Uint32(h[57:])),
		})
	}
}

func endOrError(name string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// replaceFile writes a file whole or not at all.
func replaceFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	return err
}

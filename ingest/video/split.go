package video

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"andon/event"
)

// TooLarge is a picture that was left out because of its size.
type TooLarge struct{ Size, Limit event.Bytes }

func (e *TooLarge) Error() string {
	return fmt.Sprintf("the picture has %d bytes and max_message is %d: send smaller pictures or raise max_message, here and at the broker", e.Size, e.Limit)
}

// splitter takes JPEGs from a stream of nothing else. It walks their segments, because what ends a picture (FF D9) may also lie in its metadata.
type splitter struct {
	r     *bufio.Reader
	limit int
	buf   []byte
	size  int // of the picture, also where it is more than is kept
}

func newSplitter(r io.Reader, limit int) *splitter {
	return &splitter{r: bufio.NewReaderSize(r, 64<<10), limit: limit}
}

// next returns the next picture, which belongs to the caller; io.EOF at the end of the stream, *TooLarge for a picture that was stepped over, after which there may be others,
// and another error where the stream is broken, after which there are none.
func (s *splitter) next() ([]byte, error) {
	s.buf, s.size = make([]byte, 0, cap(s.buf)), 0
	if _, err := s.r.Peek(1); err != nil {
		return nil, err
	}
	if err := s.picture(); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if s.size > s.limit {
		return nil, &TooLarge{event.Bytes(s.size), event.Bytes(s.limit)}
	}
	return s.buf, nil
}

func (s *splitter) picture() error {
	head, err := s.r.Peek(2)
	if err != nil {
		return err
	}
	if head[0] != 0xFF || head[1] != markerSOI {
		return errNotJPEG
	}
	if err := s.take(2); err != nil {
		return err
	}
	for {
		marker, err := s.marker()
		if err != nil {
			return err
		}
		for marker == markerSOS {
			if err := s.body(); err != nil {
				return err
			}
			if marker, err = s.data(); err != nil {
				return err
			}
		}
		if marker == markerEOI {
			return nil
		}
		if standalone(marker) {
			continue
		}
		if err := s.body(); err != nil {
			return err
		}
	}
}

// marker takes FF, what fills it up, and the marker itself.
func (s *splitter) marker() (byte, error) {
	b, err := s.byte()
	if err != nil {
		return 0, err
	}
	if b != 0xFF {
		return 0, fmt.Errorf("the stream of JPEGs has %#02x after %d bytes of a picture, where a marker must be", b, s.size-1)
	}
	for b == 0xFF {
		if b, err = s.byte(); err != nil {
			return 0, err
		}
	}
	return b, nil
}

// body takes a segment's length and as much.
func (s *splitter) body() error {
	head, err := s.r.Peek(2)
	if err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(head))
	if n < 2 {
		return fmt.Errorf("the stream of JPEGs has a segment of length %d after %d bytes of a picture", n, s.size)
	}
	return s.take(n)
}

// data takes a scan's data and the marker after it.
func (s *splitter) data() (byte, error) {
	for {
		part, err := s.r.ReadSlice(0xFF)
		s.keep(part)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return 0, err
		}
		b := byte(0xFF)
		for b == 0xFF {
			if b, err = s.byte(); err != nil {
				return 0, err
			}
		}
		if b != 0 && (b < markerRST0 || b > markerRST7) {
			return b, nil
		}
	}
}

func (s *splitter) byte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.keep([]byte{b})
	}
	return b, err
}

func (s *splitter) take(n int) error {
	for n > 0 {
		part, err := s.r.Peek(min(n, s.r.Size()))
		if err != nil {
			return err
		}
		s.keep(part)
		_, _ = s.r.Discard(len(part))
		n -= len(part)
	}
	return nil
}

// keep holds on to no more than the limit.
func (s *splitter) keep(part []byte) {
	s.size += len(part)
	if s.size <= s.limit {
		s.buf = append(s.buf, part...)
	}
}

package video

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Markers of ISO/IEC 10918-1, table B.1: the byte after 0xFF.
const (
	markerTEM  = 0x01
	markerSOF0 = 0xC0 // baseline
	markerSOF1 = 0xC1 // extended sequential
	markerSOF2 = 0xC2 // progressive
	markerDHT  = 0xC4
	markerJPG  = 0xC8
	markerDAC  = 0xCC
	markerSOFf = 0xCF
	markerRST0 = 0xD0
	markerRST7 = 0xD7
	markerSOI  = 0xD8
	markerEOI  = 0xD9
	markerSOS  = 0xDA
)

// Size is what a JPEG says of itself in its frame header.
type Size struct {
	// Width and Height are pixels, 1 to 65,535.
	Width, Height int
	// Components is 1 (grey) or 3 (colour); pictures with others are refused.
	Components  int
	Progressive bool
	// uneven tells that colour is sampled differently across and down, as in 4:2:2.
	uneven bool
	// scans is where the segments after the frame header begin.
	scans int
}

var errNotJPEG = errors.New("it is not a JPEG: it does not begin with FF D8")

// ReadSize reads the size of a JPEG from its frame header (SOF) without decoding anything, by walking the segments before it. It refuses what no decoder here takes:
// arithmetic coding, lossless and hierarchical pictures, samples of other than 8 bits, CMYK, and a height that is left open.
func ReadSize(jpeg []byte) (Size, error) {
	if len(jpeg) < 2 || jpeg[0] != 0xFF || jpeg[1] != markerSOI {
		return Size{}, errNotJPEG
	}
	at := 2
	for {
		marker, body, next, err := segment(jpeg, at)
		if err != nil {
			return Size{}, err
		}
		switch {
		case marker == markerEOI || marker == markerSOS:
			return Size{}, errors.New("the JPEG has no frame header (SOF) before its data")
		case marker == markerSOF0 || marker == markerSOF1 || marker == markerSOF2:
			if len(body) < 6 {
				return Size{}, errors.New("the JPEG's frame header is cut off")
			}
			s := Size{Width: int(binary.BigEndian.Uint16(body[3:])), Height: int(binary.BigEndian.Uint16(body[1:])), Components: int(body[5]),
				Progressive: marker == markerSOF2, scans: next}
			switch {
			case body[0] != 8:
				return Size{}, fmt.Errorf("the JPEG has samples of %d bits: send 8", body[0])
			case s.Width == 0 || s.Height == 0:
				return Size{}, fmt.Errorf("the JPEG says it is %dx%d pixels", s.Width, s.Height)
			case s.Components != 1 && s.Components != 3:
				return Size{}, fmt.Errorf("the JPEG has %d components: send grey or colour (YCbCr), not CMYK", s.Components)
			case len(body) != 6+3*s.Components:
				return Size{}, errors.New("the JPEG's frame header has a wrong length")
			}
			s.uneven = s.Components == 3 && (body[7]>>4)*(body[10]&15) != (body[10]>>4)*(body[7]&15)
			return s, nil
		case isFrameHeader(marker):
			return Size{}, fmt.Errorf("the JPEG is coded in a rare way (SOF%d): send baseline or progressive", marker-markerSOF0)
		}
		at = next
	}
}

func isFrameHeader(marker byte) bool {
	return marker >= markerSOF0 && marker <= markerSOFf && marker != markerDHT && marker != markerJPG && marker != markerDAC
}

// standalone tells that a marker has no length and no body.
func standalone(marker byte) bool {
	return marker >= markerRST0 && marker <= markerEOI || marker == markerTEM
}

// segment returns the segment that begins at a place: its marker, its body without the length, and where the next one begins.
func segment(jpeg []byte, at int) (marker byte, body []byte, next int, err error) {
	if at < len(jpeg) && jpeg[at] != 0xFF {
		return 0, nil, 0, fmt.Errorf("the JPEG has %#02x at byte %d, where a marker must be", jpeg[at], at)
	}
	for at < len(jpeg) && jpeg[at] == 0xFF { // a marker may be filled up with FF before it
		at++
	}
	if at >= len(jpeg) {
		return 0, nil, 0, fmt.Errorf("the JPEG is cut off after %d bytes", len(jpeg))
	}
	marker = jpeg[at]
	at++
	if marker == 0 {
		return 0, nil, 0, fmt.Errorf("the JPEG has FF 00 before byte %d, where a marker must be", at)
	}
	if standalone(marker) {
		return marker, nil, at, nil
	}
	if len(jpeg)-at < 2 {
		return 0, nil, 0, fmt.Errorf("the JPEG is cut off after %d bytes", len(jpeg))
	}
	n := int(binary.BigEndian.Uint16(jpeg[at:]))
	if n < 2 {
		return 0, nil, 0, fmt.Errorf("the JPEG has a segment of length %d at byte %d", n, at)
	}
	if len(jpeg)-at < n {
		return 0, nil, 0, fmt.Errorf("the JPEG is cut off after %d bytes", len(jpeg))
	}
	return marker, jpeg[at+2 : at+n], at + n, nil
}

// countScans counts the scans of a picture, up to a bound: each is a pass over all of it, so that few bytes can ask for much work.
func countScans(jpeg []byte, at, most int) int {
	n := 0
	for n < most {
		marker, _, next, err := segment(jpeg, at)
		if err != nil || marker == markerEOI {
			return n
		}
		at = next
		if marker == markerSOS {
			n++
			at = skipData(jpeg, at)
		}
	}
	return n
}

// skipData returns where the marker after a scan's data begins. Within the data FF 00 is a byte and FF D0 to FF D7 are restarts.
func skipData(jpeg []byte, at int) int {
	for {
		i := bytes.IndexByte(jpeg[at:], 0xFF)
		if i < 0 || at+i+1 >= len(jpeg) {
			return len(jpeg)
		}
		at += i
		if m := jpeg[at+1]; m != 0 && (m < markerRST0 || m > markerRST7) {
			if m != 0xFF {
				return at
			}
			at++ // filled up
			continue
		}
		at += 2
	}
}

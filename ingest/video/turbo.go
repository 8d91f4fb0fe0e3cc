package video

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// turboName is what the system's linker finds libturbojpeg by.
const turboName = "libturbojpeg.so.0"

// What turbojpeg.h of libjpeg-turbo 2.1 calls TJPF_RGB and TJFLAG_LIMITSCANS.
const (
	tjRGB        = 0
	tjLimitScans = 1 << 15
)

// Turbo is libturbojpeg, loaded. It stays loaded until the process ends, and may be shared by any number of decoders.
type Turbo struct {
	start, decompress, destroy, words uintptr
}

// OpenTurbo loads libturbojpeg; an empty path is where the system has it. Without it frames are decoded by Go's image/jpeg, three times as slow.
func OpenTurbo(path string) (*Turbo, error) {
	if path == "" {
		path = turboName
	}
	// The linker keeps its words on what went wrong for the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load libturbojpeg: %w: install Debian's libturbojpeg0 (make deps-video); until then frames are decoded more slowly", err)
	}
	var t Turbo
	for name, f := range map[string]*uintptr{"tjInitDecompress": &t.start, "tjDecompress2": &t.decompress, "tjDestroy": &t.destroy, "tjGetErrorStr2": &t.words} {
		if *f, err = purego.Dlsym(h, name); err != nil {
			return nil, fmt.Errorf("load libturbojpeg: %s has no %s: it wants version 2 or 3 of libjpeg-turbo", path, name)
		}
	}
	return &t, nil
}

// errExtraneous tells of bytes between segments, which some cameras leave. The library keeps its last words only, so that the picture may have other faults.
var errExtraneous = errors.New("the JPEG has bytes between its segments")

// turboHandle decodes one picture at a time.
type turboHandle struct {
	lib  *Turbo
	h    uintptr
	args [9]uintptr // kept, so that a call allocates nothing
	pin  runtime.Pinner
}

func (t *Turbo) handle() (*turboHandle, error) {
	h, _, _ := purego.SyscallN(t.start)
	if h == 0 {
		return nil, errors.New("libturbojpeg gives no decoder: it has no memory")
	}
	return &turboHandle{lib: t, h: h}, nil
}

func (t *turboHandle) close() {
	purego.SyscallN(t.lib.destroy, t.h)
}

// rgb decodes to packed RGB of width × height, which must be what one of the library's factors makes of the picture.
func (t *turboHandle) rgb(dst, jpeg []byte, width, height int) error {
	_ = dst[width*height*3-1]
	t.pin.Pin(unsafe.SliceData(dst))
	t.pin.Pin(unsafe.SliceData(jpeg))
	defer t.pin.Unpin()
	t.args = [9]uintptr{t.h, uintptr(unsafe.Pointer(unsafe.SliceData(jpeg))), uintptr(len(jpeg)), uintptr(unsafe.Pointer(unsafe.SliceData(dst))),
		uintptr(width), uintptr(width * 3), uintptr(height), tjRGB, tjLimitScans}
	if r, _, _ := purego.SyscallN(t.lib.decompress, t.args[:]...); int32(r) == 0 {
		return nil
	}
	p, _, _ := purego.SyscallN(t.lib.words, t.h)
	words := cString(p)
	if strings.Contains(words, "extraneous bytes before marker") {
		return errExtraneous
	}
	return fmt.Errorf("the JPEG cannot be decoded: %s", strings.ToLower(words))
}

// cString copies a C string of at most a few hundred bytes.
func cString(p uintptr) string {
	if p == 0 {
		return "no reason is given"
	}
	at := *(*unsafe.Pointer)(unsafe.Pointer(&p)) // the memory is C's: the collector does not move it
	n := 0
	for n < 512 && *(*byte)(unsafe.Add(at, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(at), n))
}

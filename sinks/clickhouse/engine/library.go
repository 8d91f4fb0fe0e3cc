package engine

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

const libraryName = "libchdb.so"

// library is the part of libchdb.so that hosts a server; chdb.h of https://github.com/chdb-io/chdb describes it.
type library struct {
	setSignalHandlers func(on int32)
	cmdline           func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	resultError       func(result unsafe.Pointer) string
}

func load(path string) (*library, error) {
	// The linker keeps its words on what went wrong for the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load ClickHouse's library %s: %w: run make deps to fetch it again", path, err)
	}
	var l library
	for name, f := range map[string]any{
		"chdb_set_signal_handlers_enabled": &l.setSignalHandlers,
		"chdb_query_cmdline":               &l.cmdline,
		"chdb_result_error":                &l.resultError,
	} {
		if _, err := purego.Dlsym(h, name); err != nil {
			return nil, fmt.Errorf("load ClickHouse's library: %s has no %s: it is not the pinned version; run make deps", path, name)
		}
		purego.RegisterLibFunc(f, h, name)
	}
	// Before anything else of the library runs: with its handlers on, a nil dereference that Go recovers from hangs the process.
	l.setSignalHandlers(0)
	return &l, nil
}

// run is clickhouse-local's main with these arguments; it returns when the server has ended. It tells of no fault of the start: those are on
// standard error only.
func (l *library) run(args []string) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	argv := make([]unsafe.Pointer, 0, len(args)+2)
	for _, a := range append([]string{"clickhouse"}, args...) {
		b := append([]byte(a), 0)
		pin.Pin(&b[0])
		argv = append(argv, unsafe.Pointer(&b[0]))
	}
	argv = append(argv, nil)
	pin.Pin(&argv[0])
	result := l.cmdline(int32(len(argv)-1), unsafe.Pointer(&argv[0]))
	if result == nil {
		return nil
	}
	if msg := l.resultError(result); msg != "" {
		return errors.New(msg)
	}
	return nil
}

package ort_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ebitengine/purego"

	"andon/model/ort"
	"andon/model/ort/orttest"
)

// Whichever step fails on CUDA, the session runs on the CPU and Fallback has the words and the advice.
func TestFallbackSaysWhy(t *testing.T) {
	orttest.Open(t)
	try := func(name string, atProvider, atFirstRun error, want ...string) {
		t.Run(name, func(t *testing.T) {
			var warmed []ort.Provider
			o := ort.Options{Provider: ort.CUDA, Device: 7, Warm: func(s *ort.Session) error {
				warmed = append(warmed, s.Provider())
				if s.Provider() == ort.CUDA {
					return atFirstRun
				}
				x, value, risk := tensor[float32](t, 1, 2, 2), tensor[float32](t, 1, 1), tensor[float32](t, 1, 1)
				return s.Run([]ort.Value{x}, []ort.Value{value, risk})
			}}
			o.Provide(func() error { return atProvider })
			s := session(t, orttest.Sum(2, 2, 0), o)
			if s.Provider() != ort.CPU || s.Fallback() == nil || warmed[len(warmed)-1] != ort.CPU || len(warmed) == 2 != (atFirstRun != nil) {
				t.Fatalf("runs on %s after %v was warmed: %v", s.Provider(), warmed, s.Fallback())
			}
			for _, w := range want {
				if !strings.Contains(s.Fallback().Error(), w) {
					t.Errorf("%v, want %q in it", s.Fallback(), w)
				}
			}
		})
	}
	device := errors.New("CUDA failure 101: invalid device ordinal ; GPU=7")
	try("provider", device, nil, "no device of that number", device.Error())
	try("first run", nil, device, "no device of that number", "first run on cuda", device.Error())
	try("no device", nil, errors.New("CUDA failure 100: no CUDA-capable device is detected"), "finds no device")
	try("old driver", nil, errors.New("CUDA failure 35: CUDA driver version is insufficient"), "580 or newer")
	try("other", nil, errors.New("out of memory"), "first run on cuda: out of memory")

	// What fails on the CPU, too, is no matter of CUDA.
	o := ort.Options{Provider: ort.CUDA, Warm: func(*ort.Session) error { return errors.New("not finite") }}
	o.Provide(func() error { return nil })
	if s, err := ort.NewSession(orttest.Sum(2, 2, 0), o); s != nil || err == nil || err.Error() != "first run on cpu: not finite" {
		t.Errorf("%v, %v", s, err)
	}
	// Without a stand-in the session does run where CUDA is asked for and works.
	o.Warm = nil
	if s := session(t, orttest.Sum(2, 2, 0), o); s.Provider() != ort.CUDA || s.Fallback() != nil {
		t.Errorf("runs on %s: %v", s.Provider(), s.Fallback())
	}
}

// What ONNX Runtime itself says of each part of its build for CUDA that is missing or broken. A process loads one ONNX Runtime, so each case has one of its own: this binary
// again, with a folder whose parts are made here.
func TestFallbackOfParts(t *testing.T) {
	if dir, ok := os.LookupEnv("ORT_TEST_PARTS"); ok {
		if err := ort.Open(filepath.Join(dir, "libonnxruntime.so")); err != nil {
			t.Fatal(err)
		}
		s := session(t, orttest.Sum(1, 1, 0), ort.Options{Provider: ort.CUDA, Device: 7})
		x, value, risk := tensor[float32](t, 1, 1, 1), tensor[float32](t, 1, 1), tensor[float32](t, 1, 1)
		x.Data()[0] = 3
		if err := s.Run([]ort.Value{x}, []ort.Value{value, risk}); err != nil || value.Data()[0] != 3 {
			t.Errorf("on %s: %v, %v", s.Provider(), value.Data(), err)
		}
		t.Logf("on %s: %v; probe: %v", s.Provider(), s.Fallback(), ort.Probe(ort.Options{Provider: ort.CUDA, Device: 7}))
		return
	}
	library := orttest.Library(t)
	const (
		shared = "libonnxruntime_providers_shared.so"
		plugin = "libonnxruntime_providers_cuda.so"
	)
	cc := func(dir string, args ...string) {
		t.Helper()
		cmd := exec.Command("cc", append([]string{"-shared", "-fPIC"}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cc %v: %v\n%s", args, err, out)
		}
	}
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	try := func(name string, parts func(dir string), want ...string) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Symlink(library, filepath.Join(dir, "libonnxruntime.so")); err != nil {
				t.Fatal(err)
			}
			parts(dir)
			cmd := exec.Command(os.Args[0], "-test.run=^TestFallbackOfParts$", "-test.v")
			cmd.Env = append(os.Environ(), "ORT_TEST_PARTS="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, w := range append(want, "on cpu: ") {
				if !strings.Contains(string(out), w) {
					t.Errorf("want %q in:\n%s", w, out)
				}
			}
			for _, w := range want {
				if _, probe, _ := strings.Cut(string(out), "; probe: "); !strings.Contains(probe, w) {
					t.Errorf("want %q of the probe in:\n%s", w, out)
				}
			}
		})
	}
	host := func(dir string) {
		write(dir, "shared.c", "void Provider_SetHost(void *p) {} void *Provider_GetHost(void) { return 0; }")
		cc(dir, "-o", shared, "shared.c")
	}
	try("a build without CUDA", func(string) {}, "make deps-gpu", shared)
	try("half a file", func(dir string) { write(dir, shared, "half a file") }, "Failed to load", shared)
	try("no plugin", host, "make deps-gpu", plugin)
	try("half a plugin", func(dir string) {
		host(dir)
		write(dir, plugin, "half a file")
	}, "Failed to load", plugin)
	try("a broken library of CUDA", func(dir string) {
		host(dir)
		write(dir, plugin, "half a file")
		write(dir, "libcudart.so.13", "half a file")
	}, "Failed to load", "libcudart.so.13")
	try("a plugin of something else", func(dir string) {
		host(dir)
		write(dir, "plugin.c", "int nothing;")
		cc(dir, "-o", plugin, "plugin.c")
	}, plugin, "GetProvider")
	if _, err := purego.Dlopen("libcuda.so.1", purego.RTLD_LAZY); err == nil {
		return // here is a driver
	}
	try("no driver", func(dir string) {
		host(dir)
		write(dir, "plugin.c", "int nothing;")
		cc(dir, "-Wl,-soname,libcuda.so.1", "-o", "libcuda.so", "plugin.c")
		cc(dir, "-o", plugin, "plugin.c", "-Wl,--no-as-needed", "-L.", "-lcuda")
	}, "the NVIDIA driver is not installed", "libcuda.so.1")
}

package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// imports is the import rule: the packages of ours that a folder may use beside its own children. A folder that is not named here has no rule yet, and
// that is an error. "std" means nothing but the standard library.
var imports = map[string][]string{
	"event":  {"std"},
	"model":  {"event"},
	"ingest": {"event", "ingest/dial"},
	// How a cluster is reached is the same for what reads it and what writes it.
	"ingest/dial": {},
	"processors":  {"event", "model"},
	"scorer":      {"event", "model"},
	"trainer":     {"event", "model"},
	// A family: its members are rooms of their own and do not know each other.
	"sinks/clickhouse": {"event"},
	"sinks/kafka":      {"event", "ingest/dial"},
	"sinks/evidence":   {"event"},
	"sinks/alerts":     {"event"},
	"console":          {"event", "model"},
	"deploy":           {},
	"deploy/kafka":     {"ingest/dial"}, // its tests' broker
	// The two places that see every room.
	"bench": {"*"},
	".":     {"*"},
}

// forTests lists the packages that any test may use: they start what a room speaks to.
var forTests = []string{"andon/deploy/kafka/brokertest"}

// foreign lists modules that stay behind one door.
var foreign = map[string][]string{
	"github.com/twmb/franz-go":            {"ingest", "ingest/dial", "sinks/kafka", "deploy/kafka", "bench"},
	"github.com/ClickHouse":               {"sinks/clickhouse", "bench"},
	"github.com/yalue/onnxruntime_go":     {"model", "bench"},
	"github.com/NVIDIA/go-nvml":           {"scorer", "bench"},
	"github.com/gorilla/websocket":        {"console", "bench"},
	"github.com/ebitengine/purego":        {"sinks/clickhouse", "model", "ingest"},
	"github.com/minio/minio-go":           {"model"},
	"github.com/apache/arrow":             {"trainer", "bench"},
	"google.golang.org/protobuf":          {"model", "scorer", "bench"},
	"google.golang.org/grpc":              {"scorer", "bench"},
	"github.com/eclipse/paho.mqtt.golang": {"sinks/alerts"},
	"github.com/wneessen/go-mail":         {"sinks/alerts"},
	"github.com/alecthomas/kong":          {"."},
	"github.com/prometheus/client_golang": {"ingest", "processors", "scorer", "trainer", "sinks/clickhouse", "sinks/kafka", "sinks/alerts", "sinks/evidence", "console", "bench", "."},
}

// TestImports parses every Go file itself: a test that asks the go command can be answered from a stale cache.
func TestImports(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if fault := forbidden(path.Dir(filepath.ToSlash(name)), p, strings.HasSuffix(name, "_test.go")); fault != "" {
				t.Errorf("%s imports %s: %s", name, p, fault)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d Go files seen: the walk is broken", files)
	}
}

// room returns the folder of the rule that dir belongs to.
func room(dir string) string {
	for d := dir; ; d = path.Dir(d) {
		if _, ok := imports[d]; ok || d == "." {
			if d == "." && dir != "." {
				return ""
			}
			return d
		}
	}
}

// forbidden says why a file in dir may not import p, or "".
func forbidden(dir, p string, test bool) string {
	from := room(dir)
	if from == "" {
		return "the folder " + dir + " has no rule in deps_test.go"
	}
	if p == "andon" {
		return "package main is nobody's library"
	}
	if ours, ok := strings.CutPrefix(p, "andon/"); ok {
		to := room(ours)
		if to == from || test && slices.Contains(forTests, p) {
			return ""
		}
		for _, a := range imports[from] {
			if a == "*" || a == to {
				return ""
			}
		}
		return "the import rule lets " + from + " see " + strings.Join(imports[from], ", ") + " only"
	}
	if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") {
		return ""
	}
	if len(imports[from]) == 1 && imports[from][0] == "std" {
		return from + " uses nothing but the standard library"
	}
	if test {
		return ""
	}
	for module, doors := range foreign {
		if p == module || strings.HasPrefix(p, module+"/") {
			for _, d := range doors {
				if d == from {
					return ""
				}
			}
			return "foreign types of " + module + " stop at the door of " + strings.Join(doors, ", ")
		}
	}
	return ""
}

// The rule itself is tested on imports that must and must not pass.
func TestImportRule(t *testing.T) {
	check := func(dir, p string, allowed bool) {
		t.Helper()
		if got := forbidden(dir, p, false); (got == "") != allowed {
			t.Errorf("%s importing %s: %q, want allowed %v", dir, p, got, allowed)
		}
	}
	check("event", "time", true)
	check("event", "github.com/google/uuid", false)
	check("event", "andon/model", false)
	check("ingest", "andon/ingest/decode", true)
	check("ingest/decode", "andon/event", true)
	check("ingest", "andon/model", false)
	check("scorer", "andon/model/ort", true)
	check("scorer", "andon/trainer", false)
	check("sinks/kafka", "andon/sinks/clickhouse", false)
	check("sinks/kafka", "github.com/twmb/franz-go/pkg/kgo", true)
	check("console", "github.com/twmb/franz-go/pkg/kgo", false)
	check("bench/line", "andon/scorer", true)
	check(".", "andon/scorer", true)
	check("newroom", "fmt", false)
	check("console", "andon", false)
}

package house

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// program is a script in the place of the appliance.
func program(t *testing.T, script string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "andon")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// What a bench asks comes from the process that it started, and that ends with it.
func TestHouse(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/sql", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"columns": ["n"], "rows": [[7]]}`) })
	mux.HandleFunc("GET /api/v1/decisions", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `[{"stage": "gate", "verdict": "go"}, {"stage": "train", "verdict": "go"}, {"stage": "trigger", "verdict": "go", "facts": {"trigger": "alarm"}}]`)
	})
	mux.HandleFunc("GET /api/v1/models", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("pipeline") == "p" {
			fmt.Fprint(w, `[{"version": "b", "aliases": ["challenger"]}, {"version": "a", "aliases": ["previous", "champion"]}]`)
			return
		}
		fmt.Fprint(w, `[]`)
	})
	mux.HandleFunc("POST /api/v1/labels", func(w http.ResponseWriter, r *http.Request) {})
	api := httptest.NewServer(mux)
	defer api.Close()
	// Another process's addresses, as a killed one leaves them, are not taken.
	binary := program(t, fmt.Sprintf(`
if [ "$1" = up ]; then
	mkdir -p "$5/run"
	echo '{"console": "elsewhere", "kafka": "elsewhere", "pid": 1}' >"$5/run/addresses.json"
	sleep 0.2
	echo '{"console": "%s", "kafka": "broker:1", "pid": '$$'}' >"$5/run/addresses.json"
	cat "$3"
	exec sleep 600
fi
[ "$1" = verify ] || { echo "no such command" >&2; exit 2; }
echo "$@"
`, strings.TrimPrefix(api.URL, "http://")))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	h, err := Open(ctx, binary, dir, "its settings")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if h.Console != api.URL || h.Kafka != "broker:1" || h.Alive() != nil {
		t.Errorf("%s, %s, %v", h.Console, h.Kafka, h.Alive())
	}
	if rows, err := h.SQL(ctx, "SELECT 7"); err != nil || len(rows) != 1 || rows[0][0] != 7.0 {
		t.Errorf("%v, %v", rows, err)
	}
	all, err := h.Decisions(ctx, "p")
	if err != nil || !slices.Equal([]string{all[0].Stage, all[1].Stage, all[2].Stage}, []string{"trigger", "train", "gate"}) || !strings.Contains(string(all[0].Facts), "alarm") {
		t.Errorf("%+v, %v", all, err)
	}
	for pipeline, want := range map[string]string{"p": "a", "q": ""} {
		if is, err := h.Champion(ctx, pipeline); err != nil || is != want {
			t.Errorf("the champion of %s is %q, %v", pipeline, is, err)
		}
	}
	if err := h.Ask(ctx, "POST", "/api/v1/labels", []int{}, nil); err != nil {
		t.Error(err)
	}
	if err := h.Ask(ctx, "GET", "/api/v1/nothing", nil, nil); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
	if said, err := h.Command(ctx, "verify"); err != nil || said != "verify --data "+filepath.Join(dir, "data") {
		t.Errorf("%q, %v", said, err)
	}
	if _, err := h.Command(ctx, "dance"); err == nil || !strings.Contains(err.Error(), "andon dance") || !strings.Contains(err.Error(), "no such command") {
		t.Errorf("%v", err)
	}
	h.Close()
	h.Close()
	if err := h.Alive(); err == nil || !strings.Contains(err.Error(), "its settings") {
		t.Errorf("after the end: %v", err)
	}
}

// An appliance that does not come up is an error with its last words, and leaves no process.
func TestNotReady(t *testing.T) {
	if _, err := Open(t.Context(), program(t, "echo no broker >&2; exit 1"), t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "no broker") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	dir := t.TempDir()
	if _, err := Open(ctx, program(t, `echo $$ >"$3.pid"; exec sleep 600`), dir, ""); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("%v", err)
	}
	pid, err := os.ReadFile(filepath.Join(dir, "andon.yaml.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join("/proc", strings.TrimSpace(string(pid)))); err == nil {
		t.Errorf("process %s goes on", pid)
	}
}

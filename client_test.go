package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"andon/event"
)

func TestPrintTable(t *testing.T) {
	var b strings.Builder
	err := printTable(&b, &event.Table{Columns: []string{"asset", "risk"}, Rows: [][]any{{"a\tb", json.Number("0.5")}, {nil, []any{json.Number("1"), "x"}}}})
	if err != nil {
		t.Fatal(err)
	}
	want := "asset  risk\n─────  ────\na\\tb   0.5\nNULL   [1,\"x\"]\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// A name in the data must not move the terminal's cursor.
func TestCellIsHarmless(t *testing.T) {
	if got, want := cell("é\x1b[2J\x00\u009b1m\n'\"→"), `é\x1b[2J\x00\u009b1m\n'"→`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCallCarriesTheAppliancesWords(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ok" {
			w.Write([]byte(`{"columns":["n"],"rows":[[18446744073709551615]]}`))
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":"code 62: syntax error at 'selekt'"}`))
	}))
	defer s.Close()
	err := call(context.Background(), "POST", s.URL+"/bad", map[string]string{"sql": "selekt"}, nil)
	if err == nil || err.Error() != "code 62: syntax error at 'selekt'" {
		t.Fatalf("got %v", err)
	}
	var table event.Table
	if err := call(context.Background(), "GET", s.URL+"/ok", nil, &table); err != nil {
		t.Fatal(err)
	}
	if got := cell(table.Rows[0][0]); got != "18446744073709551615" {
		t.Fatalf("a large number came back as %s", got)
	}
	s.Close()
	if err := call(context.Background(), "GET", s.URL+"/ok", nil, nil); exitCode(err) != exitEnvironment {
		t.Fatalf("a dead appliance: %v", err)
	}
}

func TestFindAppliance(t *testing.T) {
	dir := t.TempDir()
	if _, err := findAppliance(dir, ""); exitCode(err) != exitEnvironment || !strings.Contains(err.Error(), dir) {
		t.Fatalf("got %v", err)
	}
	if err := writeAddresses(dir, addresses{Console: "127.0.0.1:8080"}); err != nil {
		t.Fatal(err)
	}
	if url, err := findAppliance(dir, ""); err != nil || url != "http://127.0.0.1:8080" {
		t.Fatalf("got %q, %v", url, err)
	}
	if url, _ := findAppliance(dir, "http://elsewhere"); url != "http://elsewhere" {
		t.Fatalf("got %q", url)
	}
}

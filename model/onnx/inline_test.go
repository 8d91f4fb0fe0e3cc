package onnx

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// outside returns a graph of one constant whose bytes lie in the file weights.
func outside(entries ...string) []byte {
	t := appendInt(appendInt(nil, tensorDims, 2), tensorType, int64(Float))
	t = appendString(t, tensorName, "w")
	for i := 0; i < len(entries); i += 2 {
		t = appendBytes(t, tensorExternal, appendString(appendString(nil, entryKey, entries[i]), entryValue, entries[i+1]))
	}
	t = appendInt(t, tensorLocation, 1)
	g := NewGraph("g")
	g.inits = append(g.inits, t)
	g.Node("If", nil, nil, Body("then_branch", &Graph{name: "b", inits: [][]byte{t}}))
	return g.Model()
}

func TestInline(t *testing.T) {
	read := func(name string) ([]byte, error) {
		if name != "weights" {
			return nil, errors.New("no such file")
		}
		return []byte("....ABCDEFGH"), nil
	}
	got, err := Inline(outside("location", "weights", "offset", "4", "length", "8"), read)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := Inspect(got); err != nil || len(f.External) != 0 || bytes.Count(got, []byte("ABCDEFGH")) != 2 {
		t.Errorf("facts %+v, %v", f, err)
	}
	whole := sample().Model()
	if got, err := Inline(whole, read); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("a whole file was changed: %v", err)
	}
	bad := func(says string, entries ...string) {
		t.Helper()
		if _, err := Inline(outside(entries...), read); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", entries, err, says)
		}
	}
	bad("no such file", "location", "elsewhere")
	bad("beyond the end", "location", "weights", "offset", "5", "length", "8")
	bad("beyond the end", "location", "weights", "offset", "-1")
	bad("beyond the end", "location", "weights", "offset", "99")
	bad("not a number", "location", "weights", "length", "much")
}

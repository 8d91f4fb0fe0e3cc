package drift

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"
)

// A packed file is a version and DEFLATE's JSON behind what was there, and comes back; what is of another version, cut or too large is told.
func TestPacked(t *testing.T) {
	data, err := pack([]byte("before"), 7, map[string]int{"a": 1})
	if err != nil || !strings.HasPrefix(string(data), "before\a") {
		t.Fatalf("%q, %v", data, err)
	}
	file := data[len("before"):]
	if text, err := io.ReadAll(flate.NewReader(bytes.NewReader(file[1:]))); err != nil || string(text) != "{\"a\":1}\n" {
		t.Errorf("%q, %v", text, err)
	}
	var got map[string]int
	if err := unpack(file, 7, &got); err != nil || got["a"] != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := pack(nil, 7, func() {}); err == nil {
		t.Error("a function was packed")
	}
	large, err := pack(nil, 7, strings.Repeat("a", mostPacked-3)) // two quotes and the line's end
	if err != nil {
		t.Fatal(err)
	}
	var text string
	if err := unpack(large, 7, &text); err != nil || len(text) != mostPacked-3 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if large, err = pack(nil, 7, strings.Repeat("a", mostPacked-2)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":         {nil, "another version"},
		"another version": {append([]byte{8}, file[1:]...), "another version"},
		"cut":             {file[:len(file)-2], "unexpected EOF"},
		"too large":       {large, "more than 16777216 bytes"},
	} {
		if err := unpack(c.file, 7, &text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

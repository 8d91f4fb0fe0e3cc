package decode

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"andon/event"
)

var seeds = []string{
	`{}`, `{"a":1}`, `{"a":"x\u00e9\ud83d\ude00\ud83d"}`, `{"a":[1,2,{"b":null}],"b":true,"c":false}`, `{"a":-0.0e-5,"b":1E+9}`, `{"a":01}`, `{"a":1.}`,
	`{"m":{"a":1,"b":{"c":2}},"m":3}`, `{"m":{"a":1},"m":{"b":{}}}`, `{"m.a":1,"m":{"a":2}}`, `{"a":"\x01"}`, `{"a":"\q"}`, "{\"a\":\"\xff\"}", `{"a":tru}`, `{"a" : 1 , }`,
	`{"\u0061":1}`, `{"a":{}}`, `{"a":[]}`, `{"a":[,]}`, `{"a":[1,]}`, `{"a":{"b"}}`, `{"a":1}x`, `nul`, ``, ` `, `{"a":1e}`, `{"a":-}`, `{"a":"`, `{"a":"\u12`, `{"":1,"a":{"":[[]]}}`,
	`{"a":123456789012345678901234567890,"b":0.000000000000000000000000000001}`,
}

// The scanner accepts the objects that encoding/json accepts, and finds the fields that it finds.
func FuzzScan(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), []byte(s))
	}
	f.Fuzz(func(t *testing.T, warm, data []byte) {
		var s scanner
		a, b, ma, mbc := s.want("a"), s.want("b"), s.want("m.a"), s.want("m.b.c")
		_ = s.scan(warm) // leaves its guesses of keys
		err := s.scan(data)
		trimmed := bytes.TrimLeft(data, " \t\r\n")
		valid := json.Valid(data) && trimmed[0] == '{'
		if (err == nil) != valid {
			t.Fatalf("%q: %v; encoding/json says valid %v", data, err, valid)
		}
		if err != nil {
			return
		}
		var top map[string]json.RawMessage
		if err := json.Unmarshal(data, &top); err != nil {
			t.Fatal(err)
		}
		same := func(slot int, want json.RawMessage) {
			t.Helper()
			v := &s.values[slot]
			if want == nil {
				if v.kind != absent {
					t.Fatalf("%q: found %v, want nothing", data, v.kind)
				}
				return
			}
			switch v.kind {
			case text:
				raw := s.raw(v)
				if got := `"` + string(raw) + `"`; got != string(want) {
					t.Fatalf("%q: text %s, want %s", data, got, want)
				}
				var wantText string
				if err := json.Unmarshal(want, &wantText); err != nil {
					t.Fatal(err)
				}
				if v.escaped {
					raw = s.unescape(raw)
				}
				if string(bytes.ToValidUTF8(raw, []byte("\uFFFD"))) != string(bytes.ToValidUTF8([]byte(wantText), []byte("\uFFFD"))) && json.Valid(want) && validUTF8(raw) {
					t.Fatalf("%q: text %q, want %q", data, raw, wantText)
				}
			case number:
				var f float64
				wantErr := json.Unmarshal(want, &f)
				got, ok := v.num.float(s.raw(v))
				if ok != (wantErr == nil) || ok && math.Float64bits(got) != math.Float64bits(f) {
					t.Fatalf("%q: number %v %v, want %v %v", data, got, ok, f, wantErr)
				}
			case null, boolean, object, array:
				first := map[byte]kind{'n': null, 't': boolean, 'f': boolean, '{': object, '[': array}[want[0]]
				if v.kind != first || v.kind == boolean && (v.num.bool() == 1) != (want[0] == 't') {
					t.Fatalf("%q: %v, want %s", data, v.kind, want)
				}
			default:
				t.Fatalf("%q: absent, want %s", data, want)
			}
		}
		same(a, top["a"])
		same(b, top["b"])
		if _, ok := top["m.a"]; ok { // either spelling is the field: which one counts depends on their order
			return
		}
		if _, ok := top["m.b.c"]; ok {
			return
		}
		m := below(top["m"])
		same(ma, m["a"])
		same(mbc, below(m["b"])["c"])
	})
}

func below(raw json.RawMessage) (m map[string]json.RawMessage) {
	if len(raw) > 0 && raw[0] == '{' {
		_ = json.Unmarshal(raw, &m)
	}
	return m
}

func validUTF8(b []byte) bool { return bytes.Equal(bytes.ToValidUTF8(b, nil), b) }

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0", "1", "641.82", "-1e5", "1e22", "1e23", "9007199254740993", "123456789012345678901", "0.0000000000000000000000000001", "1e400", "1e-400", "5e-324", "00", "1.", ".1", "+1", "1e99999999999", "4.35", "0.1e-7", "18446744073709551616", "99999999999999999999e-20"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var n numeral
		end := scanNumber([]byte(s), 0, &n)
		whole := end == len(s)
		if want := json.Valid([]byte(s)) && len(s) > 0 && (s[0] == '-' || s[0]-'0' <= 9) && s[len(s)-1]-'0' <= 9; whole != want {
			t.Fatalf("%q: number %v, want %v", s, whole, want)
		}
		if !whole {
			return
		}
		got, ok := n.float([]byte(s))
		want, err := strconv.ParseFloat(s, 64)
		if ok != (err == nil) || ok && math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%q: %v %v, want %v %v", s, got, ok, want, err)
		}
	})
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"2020-01-01T05:00:00Z", "2020-02-29T23:59:59.999999999+14:00", "2019-02-29T00:00:00Z", "1677-09-21T00:12:44Z", "2262-04-11T23:47:16.854775807Z", "0000-01-01T00:00:00Z",
		"2020-01-01T05:00:00.1234567890123-00:30", "2020-01-01 05:00:00z", "2020-13-01T00:00:00Z", "2020-01-01T24:00:00Z", "2020-01-01T00:00:60Z", "1900-02-28T00:00:00+23:59", "2000-01-01T00:00:00+24:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseRFC3339([]byte(s))
		form := []byte(s)
		if ok && form[10] != 'T' {
			form[10] = 'T'
		}
		if n := len(form); ok && form[n-1] == 'z' {
			form[n-1] = 'Z'
		}
		want, err := time.Parse(time.RFC3339Nano, string(form))
		if !ok {
			// What package time writes we read, within the years that fit; it also takes a zone of 24 hours, which RFC 3339 does not know.
			if err == nil && !strings.Contains(s, "24:") && want.Year() > 1678 && want.Year() < 2262 && (want.Format(time.RFC3339) == s || want.Format(time.RFC3339Nano) == s) {
				t.Fatalf("%q was refused", s)
			}
			return
		}
		if err != nil || want.UnixNano() != got {
			t.Fatalf("%q: %d, package time says %d, %v", s, got, want.UnixNano(), err)
		}
	})
}

// No record may panic a decoder, and each is either one row or one rejection.
func FuzzDecode(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte("k"), []byte(s), int64(1769835600000000000))
	}
	for _, c := range cases {
		f.Add([]byte(nil), []byte(c.value), int64(0))
	}
	specs := []Spec{{Signals: []string{"a", "m.b"}}, {Signals: []string{"a"}, Asset: Key, Time: Timestamp}, {Signals: []string{"a"}, TimeUnit: UnitMicroseconds}, {Shape: ShapeNarrow, Signals: []string{"a"}}, {Shape: ShapeLabels}}
	f.Fuzz(func(t *testing.T, key, value []byte, when int64) {
		for _, s := range specs {
			d, err := New(s)
			if err != nil {
				t.Fatal(err)
			}
			var b event.Batch
			err = d.Decode(&event.Record{Time: when, Key: key, Value: value}, &b)
			if made := len(b.Rows) + len(b.Labels); (err == nil) != (made == 1) {
				t.Fatalf("%q: %v and %d rows", value, err, made)
			}
		}
	})
}

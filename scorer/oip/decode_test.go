package oip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestNumber(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	check := func(text string) {
		t.Helper()
		want, err := strconv.ParseFloat(text, 64)
		s := &scanner{b: []byte(text)}
		got, ok := s.number()
		if ok != (err == nil) || ok && math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%s: %v %v; want %v %v", text, got, ok, want, err)
		}
		narrow, _ := strconv.ParseFloat(text, 32)                                                           // an infinity where it says that it is out of range
		for _, after := range []string{"", ", 1                                                        "} { // near the end of the text digits are taken one by one
			s = &scanner{b: []byte(text + after)}
			if got, ok := s.single(); ok != (err == nil) || ok && (math.Float32bits(got) != math.Float32bits(float32(narrow)) || s.i != len(text)) {
				t.Fatalf("%s: single %v %v, to %d; want %v %v", text, got, ok, s.i, float32(narrow), err)
			}
		}
	}
	for _, text := range []string{"0", "-0", "-0.0", "1e22", "1e23", "123456789012345e22", "999999999999999e-22", "1e-23", "0.000000000000000000001", "1e400", "-1e400", "5e-324", "1e-400",
		"9007199254740993", "16777217", "16777217.0000000000", "16777217.00000000001", "16777216.99999999999", "0.1", "-0.000000000000000001", "3.4028235677973366e38",
		"340282356779733661637539395458142568447", "12345678", "123456789", "1234567.8901234567", "12345678.12345678", "0.12345678", "0.1234567890123456", "0.123456789012345678",
		"0.1234567890123456789", "12.345678901234567890", "1e-45", "7.006492321624085e-46", "1.1754942807573643e-38", "123456789012345678901234567890", "1.7976931348623157e308", "0e99999999999999999999", "1e-99999999999999999999"} {
		check(text)
	}
	for range 200_000 {
		switch rng.IntN(7) {
		case 5: // as text of a float32 that is exact, with the middle to the next, and just beside it
			f := math.Float32frombits(0x3f800000 + rng.Uint32N(10<<23))
			middle := strconv.FormatFloat((float64(f)+float64(math.Nextafter32(f, 1e9)))/2, 'f', -1, 64)
			check(middle)
			if strings.Contains(middle, ".") {
				check(middle + "0000000001"[rng.IntN(10):])
			}
		case 6:
			check(strconv.FormatFloat(float64(rng.Uint64()>>rng.UintN(64)), 'f', 0, 64) + "." + strconv.FormatUint(rng.Uint64()>>rng.UintN(64), 10))
		case 4: // beside the middle between two float32
			middle := uint64(rng.Uint32())<<29&^(1<<62) | 1<<28
			check(strconv.FormatFloat(math.Float64frombits(middle+uint64(rng.IntN(7))-3), 'g', 17, 64))
		case 0:
			check(strconv.FormatFloat(math.Float64frombits(rng.Uint64()&^(1<<62)), 'g', -1, 64))
		case 1:
			check(strconv.FormatFloat(float64(math.Float32frombits(rng.Uint32()&^(1<<30))), 'g', -1, 64))
		case 2:
			check(strconv.FormatFloat(rng.NormFloat64()*100, 'f', rng.IntN(20), 64))
		case 3:
			check(fmt.Sprintf("%de%d", rng.Int64N(1e16), rng.IntN(60)-30))
		}
	}
	for _, text := range []string{"", "-", "01", "1.", ".5", "1e", "1e+", "+1", "0x1", "NaN", "Infinity"} {
		s := &scanner{b: []byte(text)}
		if v, ok := s.number(); ok && s.i == len(text) {
			t.Errorf("%q is %v", text, v)
		}
	}
}

// reference decodes a request with encoding/json. The error tells that it is not as the protocol has it, or more than we take.
func reference(js []byte) (*call, error) {
	var top map[string]json.RawMessage
	if err := strictly(js, &top); err != nil {
		return nil, err
	}
	c := &call{}
	if err := optional(top["id"], &c.id); err != nil {
		return nil, err
	}
	var inputs []map[string]json.RawMessage
	if raw, ok := top["inputs"]; ok {
		if err := strictly(raw, &inputs); err != nil || inputs == nil {
			return nil, errors.New("inputs")
		}
	}
	for _, in := range inputs {
		if in == nil {
			return nil, errors.New("input null")
		}
		t := c.input()
		for key, v := range map[string]*string{"name": &t.name, "datatype": &t.datatype} {
			if raw, ok := in[key]; ok {
				if bytes.Equal(raw, []byte("null")) {
					return nil, errors.New(key)
				}
				if err := json.Unmarshal(raw, v); err != nil {
					return nil, err
				}
			}
		}
		if raw, ok := in["shape"]; ok {
			var shape []*float64
			if err := json.Unmarshal(raw, &shape); err != nil || shape == nil {
				return nil, errors.New("shape")
			}
			for _, d := range shape {
				if d == nil || *d != math.Trunc(*d) || math.Abs(*d) > 1<<53 {
					return nil, errors.New("shape")
				}
				t.shape = append(t.shape, int64(*d))
			}
		}
		var flat func(raw json.RawMessage) error
		flat = func(raw json.RawMessage) error {
			var list []json.RawMessage
			if raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
				return errors.New("data")
			}
			for _, e := range list {
				if e[0] == '[' {
					if err := flat(e); err != nil {
						return err
					}
					continue
				}
				var v float64
				if e[0] == '-' || e[0] >= '0' && e[0] <= '9' {
					if err := json.Unmarshal(e, &v); err != nil {
						return err
					}
					narrow, _ := strconv.ParseFloat(string(e), 32)
					t.numbers = append(t.numbers, float32(narrow))
				} else {
					t.strange = "strange"
				}
			}
			return nil
		}
		if err := flat(in["data"]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func strictly(js []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(js))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more follows")
	}
	return nil
}

func optional(raw json.RawMessage, v any) error {
	if raw == nil {
		return nil
	}
	return json.Unmarshal(raw, v)
}

// What is read is what encoding/json reads, and nothing makes it panic.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"id":"a","inputs":[{"name":"window","shape":[1,2,2],"datatype":"FP32","data":[[[1,2.5],[-3e-2,4]]]}],"outputs":[{"name":"risk"}]}`,
		`{"inputs":[{"name":"window","shape":[4],"datatype":"FP32","data":[1,2,3,4],"parameters":{"x":[{"y":null}]}}],"parameters":{"timeout":5,"scaled":false}}`,
		`{"inputs":[{"name":"window","shape":[4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}0123456789abcdef`,
		`{"inputs":[{"data":["a",true,null,{}]}]}`, `{"inputs":[{"data":[[1],2,[[3]]]}]}`, `{"a\u0062":"\ud83d\ude00"}`, `[]`, `{"id":null}`, "{\"id\":\"\xff\"}",
		`{"inputs":[{"data":[` + strings.Repeat("0.10000000149011612,", 30) + `1e22]}]}`,
		`{"inputs":[{"data":[[` + strings.Repeat("-0.84147096, 12.5,3,", 9) + `"x",7,[16777217.00000000001]],[0.5,-01,1e2,1.,.5]]}],"more":"                                "}`,
		`{"inputs":[{"data":[[` + strings.Repeat("-0.84147096, 12.5,3,\n1e3 ,", 9) + `7],[1,2],[0.5,3]]}],"more":"                                "}`,
	} {
		f.Add([]byte(seed), len(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte, n int) {
		n = min(max(n, 0), len(body))
		js, rest := body[:n], body[n:]
		c := newCall()
		defer c.free()
		fault := c.request(js, rest)
		if fault != nil {
			if fault.text == "" || fault.status != 400 {
				t.Fatalf("%+v", fault)
			}
			return
		}
		if !json.Valid(js) {
			t.Fatalf("%q is read and is no JSON", js)
		}
		for i := range c.inputs {
			if c.inputs[i].binary {
				return // the reference knows no bytes
			}
		}
		want, err := reference(js)
		if err != nil {
			t.Fatalf("%q is read; encoding/json says %v", js, err)
		}
		if c.id != want.id && !strings.Contains(want.id, "\ufffd") || len(c.inputs) != len(want.inputs) {
			t.Fatalf("%q: %q %v; want %q %v", js, c.id, c.inputs, want.id, want.inputs)
		}
		for i := range c.inputs {
			a, b := &c.inputs[i], &want.inputs[i]
			if (a.strange != "") != (b.strange != "") && a.strange != mixed && !strings.HasPrefix(a.strange, "arrays of") {
				t.Fatalf("%q: %q; want %q", js, a.strange, b.strange)
			}
			if a.name != b.name && !strings.Contains(b.name, "\ufffd") || a.datatype != b.datatype && !strings.Contains(b.datatype, "\ufffd") ||
				fmt.Sprint(a.shape) != fmt.Sprint(b.shape) || !bytes.Equal(bytesIn(a.numbers), bytesIn(b.numbers)) {
				t.Fatalf("%q: %+v; want %+v", js, a, b)
			}
		}
	})
}

func bytesIn(v []float32) []byte {
	if len(v) == 0 {
		return nil
	}
	return bytesOf(v)
}

func BenchmarkRequest(b *testing.B) {
	numbers := make([]string, 30*29)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range numbers {
		numbers[i] = strconv.FormatFloat(float64(float32(rng.NormFloat64())), 'g', -1, 64)
	}
	js := []byte(`{"inputs":[{"name":"window","datatype":"FP32","shape":[1,30,29],"data":[` + strings.Join(numbers, ", ") + `]}]}`)
	b.Run("read=ours", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(js)))
		for b.Loop() {
			c := newCall()
			if f := c.request(js, nil); f != nil {
				b.Fatal(f)
			}
			c.free()
		}
	})
	b.Run("read=encoding_json", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(js)))
		for b.Loop() {
			var v struct{ Inputs []struct{ Data []float32 } }
			if err := json.Unmarshal(js, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

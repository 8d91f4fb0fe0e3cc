package oip

import (
	"encoding/json"
	"strconv"
)

// respond appends the answer's JSON to c.answer, and the binary outputs after it; it returns the length of the JSON.
func (c *call) respond(m *served) int {
	b := append(c.answer[:0], `{"model_name":`...)
	b = appendText(b, m.name)
	b = append(b, `,"model_version":`...)
	b = appendText(b, m.version)
	if c.id != "" {
		b = append(b, `,"id":`...)
		b = appendText(b, c.id)
	}
	b = append(b, `,"outputs":[`...)
	for i, o := range c.outputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"name":"`...)
		b = append(b, o.name()...)
		b = append(b, `","datatype":"FP32","shape":[`...)
		b = strconv.AppendInt(b, int64(len(c.out)), 10)
		if o.binary {
			b = append(b, `,1],"parameters":{"binary_data_size":`...)
			b = strconv.AppendInt(b, int64(4*len(c.out)), 10)
			b = append(b, `}}`...)
			continue
		}
		b = append(b, `,1],"data":[`...)
		for j := range c.out {
			if j > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendFloat(b, float64(c.number(j, o)), 'g', -1, 32)
		}
		b = append(b, `]}`...)
	}
	b = append(b, `]}`...)
	js := len(b)
	for _, o := range c.outputs {
		if o.binary {
			b = c.appendRaw(b, o)
		}
	}
	c.answer = b
	return js
}

// number returns a window's number of an output.
func (c *call) number(i int, o wanted) float32 {
	if o.risk {
		return c.out[i].Risk
	}
	return c.out[i].Value
}

// appendRaw appends an output as little-endian numbers.
func (c *call) appendRaw(b []byte, o wanted) []byte {
	for i := range c.out {
		v := [1]float32{c.number(i, o)}
		b = append(b, bytesOf(v[:])...)
	}
	return b
}

// appendText appends a string as JSON.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			js, _ := json.Marshal(s) // a string has always a form in JSON
			return append(b, js...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

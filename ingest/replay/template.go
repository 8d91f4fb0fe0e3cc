package replay

import (
	"fmt"
	"strconv"
	"strings"
)

// template makes an asset's name of a row's cells: "compressor-{unit:03d}".
type template []piece

type piece struct {
	text   string
	column string // empty: text
	width  int    // digits, filled with zeros, for whole numbers; 0: the cell as it is
}

func parseTemplate(s string) (template, error) {
	if s == "" {
		return nil, fmt.Errorf("is empty: write a name, or one with columns as compressor-{unit:03d}")
	}
	var t template
	for s != "" {
		open := strings.IndexAny(s, "{}")
		if open < 0 {
			return append(t, piece{text: s}), nil
		}
		end := strings.IndexByte(s, '}')
		if s[open] == '}' || end < 0 || strings.Contains(s[open+1:end], "{") {
			return nil, fmt.Errorf("%q has braces that do not match", s)
		}
		if open > 0 {
			t = append(t, piece{text: s[:open]})
		}
		column, format, formatted := strings.Cut(s[open+1:end], ":")
		p := piece{column: strings.TrimSpace(column)}
		if p.column == "" {
			return nil, fmt.Errorf("%q names no column", s[open:end+1])
		}
		if formatted {
			digits, ok := strings.CutSuffix(format, "d")
			width, err := strconv.Atoi(digits)
			if !ok || err != nil || width < 1 || width > 18 || digits[0] != '0' {
				return nil, fmt.Errorf("%q: the format of a column is 0Nd, as 03d for three digits", s[open:end+1])
			}
			p.width = width
		}
		t = append(t, p)
		s = s[end+1:]
	}
	return t, nil
}

func (t template) columns() (out []string) {
	for _, p := range t {
		if p.column != "" {
			out = append(out, p.column)
		}
	}
	return out
}

// append adds the name for a row; cell returns a column's text. The column at fault is returned with the error.
func (t template) append(dst []byte, cell func(column string) string) ([]byte, string, error) {
	for _, p := range t {
		if p.column == "" {
			dst = append(dst, p.text...)
			continue
		}
		text := strings.TrimSpace(cell(p.column))
		switch {
		case text == "":
			return dst, p.column, fmt.Errorf("the cell is empty and the asset's name needs it")
		case p.width == 0:
			dst = append(dst, text...)
		default:
			n, err := strconv.ParseUint(text, 10, 63)
			if err != nil {
				return dst, p.column, fmt.Errorf("%q is not a whole number, which the asset's name needs", text)
			}
			dst = fmt.Appendf(dst, "%0*d", p.width, n)
		}
	}
	return dst, "", nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"andon/event"
)

// call sends one request to a running appliance's API and decodes the answer into out. An error carries the appliance's own words.
func call(ctx context.Context, method, url string, in, out any) error {
	var body io.Reader
	if in != nil {
		js, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(js)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	data, err := send(ctx, method, url, "application/json", body)
	if err != nil || out == nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(out)
}

// send sends one request and returns what was answered.
func send(ctx context.Context, method, url, kind string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, usage(err)
	}
	req.Header.Set("Content-Type", kind)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, environment(fmt.Errorf("the appliance does not answer; is it still running? %w", err))
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, environment(fmt.Errorf("read the appliance's answer: %w", err))
	}
	if res.StatusCode/100 != 2 {
		var said struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(data, &said) == nil && said.Error != "" {
			return nil, fmt.Errorf("%s", said.Error)
		}
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, res.Status, bytes.TrimSpace(data))
	}
	return data, nil
}

// printTable writes a table for people: columns aligned, one line a row.
func printTable(w io.Writer, t *event.Table) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(t.Columns, "\t"))
	rule := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		rule[i] = strings.Repeat("─", max(1, utf8.RuneCountInString(c)))
	}
	fmt.Fprintln(tw, strings.Join(rule, "\t"))
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = cell(v)
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}

// cell writes one value on one line: a tab or a newline inside would break the table.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		return printable(v)
	case json.Number:
		return v.String()
	case []any, map[string]any:
		js, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(js)
	}
	return fmt.Sprint(v)
}

// printable keeps text on one line, and from giving orders to the terminal.
func printable(s string) string {
	if strings.IndexFunc(s, unicode.IsControl) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

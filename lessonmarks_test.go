package main

import (
	"context"
	"errors"
	"testing"
)

type fixedMark string

func (m *fixedMark) LabelsMark(context.Context) (string, error) {
	if *m == "" {
		return "", errors.New("no store")
	}
	return string(*m), nil
}

// What follows from the labels is asked once for each state of them; what is too large, or failed, is asked again.
func TestRemembered(t *testing.T) {
	var r remembered[string, int]
	mark, asked := fixedMark("one"), 0
	get := func(key string, fail error) (int, error) {
		return r.get(t.Context(), &mark, key, func(v int) bool { return v != 3 }, func() (int, error) { asked++; return asked, fail })
	}
	step := func(key string, fail error, want, asks int) {
		t.Helper()
		if got, err := get(key, fail); got != want || asked != asks || !errors.Is(err, fail) {
			t.Errorf("%d after %d asked, want %d after %d: %v", got, asked, want, asks, err)
		}
	}
	step("a", nil, 1, 1)
	step("a", nil, 1, 1)
	step("b", nil, 2, 2)
	step("c", nil, 3, 3) // not kept
	step("c", nil, 4, 4)
	step("c", nil, 4, 4)
	mark = "two"
	step("a", errors.ErrUnsupported, 5, 5)
	step("a", nil, 6, 6)
	step("a", nil, 6, 6)
	mark = ""
	if _, err := get("a", nil); err == nil || asked != 6 {
		t.Errorf("no mark: %v, %d asked", err, asked)
	}
}

package model

import (
	"context"
	"errors"
	"fmt"
)

// ErrNoEarlier is returned by Rollback where the history has nothing to go back to.
var ErrNoEarlier = errors.New("there is no earlier version to go back to")

// Rollback moves an alias to the version it had before, by its history, and returns the move. What was rolled back from is not gone back to: a second rollback goes
// one further. Errors are as Move's.
func (r *Registry) Rollback(ctx context.Context, pipeline string, alias Alias, who, why string) (Move, error) {
	history, err := r.History(pipeline)
	if err == nil {
		var to Move
		if to, err = earlier(history, alias); err == nil {
			err = r.move(ctx, Move{Pipeline: pipeline, Alias: alias, To: to.To, Percent: to.Percent, Who: who, Why: why, Rollback: true})
		}
	}
	if err != nil {
		return Move{}, fmt.Errorf("roll back the %s of %s: %w", alias, pipeline, err)
	}
	mv, _ := r.Marker(pipeline, alias)
	return mv, nil
}

// earlier reads the history as a stack, of which it returns the second from the top: a move puts a version on it, a rollback takes off what lies above the version it
// goes to. An alias that was cleared can be brought back.
func earlier(history []Move, alias Alias) (Move, error) {
	var stack []Move
	for _, mv := range history {
		if mv.Alias != alias {
			continue
		}
		if mv.Rollback {
			for i := len(stack) - 2; i >= 0; i-- {
				if stack[i].To == mv.To {
					stack = stack[:i]
					break
				}
			}
		}
		stack = append(stack, mv)
	}
	for i := len(stack) - 2; i >= 0; i-- {
		if stack[i].To != "" && stack[i].To != stack[len(stack)-1].To { // a canary's share may have changed
			return stack[i], nil
		}
	}
	return Move{}, ErrNoEarlier
}

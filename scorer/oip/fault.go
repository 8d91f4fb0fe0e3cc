package oip

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"

	"andon/scorer"
)

// fault is an error as a caller sees it, in both protocols.
type fault struct {
	status int
	code   codes.Code
	text   string
}

func (f *fault) Error() string { return f.text }

// The faults by whose turn it is: the caller's (wrong, unknown, large, refused), nobody's for the moment (busy, late), or ours (broken).
func wrong(format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, codes.InvalidArgument, fmt.Sprintf(format, args...)}
}

func unknown(format string, args ...any) *fault {
	return &fault{http.StatusNotFound, codes.NotFound, fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) *fault {
	return &fault{http.StatusRequestEntityTooLarge, codes.ResourceExhausted, fmt.Sprintf(format, args...)}
}

func refused(format string, args ...any) *fault {
	return &fault{http.StatusConflict, codes.FailedPrecondition, fmt.Sprintf(format, args...)}
}

func busy(format string, args ...any) *fault {
	return &fault{http.StatusServiceUnavailable, codes.Unavailable, fmt.Sprintf(format, args...)}
}

func broken(format string, args ...any) *fault {
	return &fault{http.StatusInternalServerError, codes.Internal, fmt.Sprintf(format, args...)}
}

// gaveUp is told to nobody, for the caller is gone; it is counted.
var gaveUp = &fault{499, codes.Canceled, "the caller gave up"}

// faultOf sorts an error of the scorer. caller is the caller's own context, without the deadline that we set.
func faultOf(caller context.Context, err error) *fault {
	switch {
	case errors.Is(caller.Err(), context.Canceled):
		return gaveUp
	case caller.Err() != nil:
		return &fault{http.StatusGatewayTimeout, codes.DeadlineExceeded, "the caller's deadline passed: " + err.Error()}
	case errors.Is(err, scorer.ErrBusy):
		return busy("%v: try again in a moment", err)
	case errors.Is(err, context.DeadlineExceeded):
		return busy("no score in time (inference.timeout, or the request's parameter timeout): %v", err)
	case errors.Is(err, scorer.ErrClosed):
		return busy("the server is stopping")
	}
	return broken("%v", err)
}

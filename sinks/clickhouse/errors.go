package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// Codes of the server (ClickHouse, src/Common/ErrorCodes.cpp).
const (
	codeUnknownTable    = 60
	codeUnknownDatabase = 81
	codeReadonly        = 164
	codeDenied          = 497
	codeAuthentication  = 516
	codeTimeout         = 159
	codeMemory          = 241
	codeResultBytes     = 396
	codeTooManyRows     = 158
	codeTooManySessions = 700
	codeSettingBound    = 452
)

// passing are the codes that say something of the server's state and nothing of what was sent: waiting cures them.
var passing = []int32{
	3,   // UNEXPECTED_END_OF_FILE
	32,  // ATTEMPT_TO_READ_AFTER_EOF: the connection was cut inside a packet
	33,  // CANNOT_READ_ALL_DATA
	99,  // UNKNOWN_PACKET_FROM_CLIENT
	101, // UNEXPECTED_PACKET_FROM_CLIENT
	codeTimeout,
	160, // TOO_SLOW
	198, // DNS_ERROR
	201, // QUOTA_EXCEEDED
	202, // TOO_MANY_SIMULTANEOUS_QUERIES
	203, // NO_FREE_CONNECTION
	209, // SOCKET_TIMEOUT
	210, // NETWORK_ERROR
	225, // NO_ZOOKEEPER
	236, // ABORTED: the server is shutting down
	codeMemory,
	242, // TABLE_IS_READ_ONLY: a replica lost its Keeper
	243, // NOT_ENOUGH_SPACE
	252, // TOO_MANY_PARTS
	254, // NO_ACTIVE_REPLICAS
	279, // ALL_CONNECTION_TRIES_FAILED
	285, // TOO_FEW_LIVE_REPLICAS
	286, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
	289, // REPLICA_IS_NOT_IN_QUORUM
	290, // LIMIT_EXCEEDED
	319, // UNKNOWN_STATUS_OF_INSERT: the token tells
	364, // IP_ADDRESS_NOT_ALLOWED: a proxy that is being set up
	394, // QUERY_WAS_CANCELLED
	415, // ALL_REPLICAS_LOST
	425, // SYSTEM_ERROR
	439, // CANNOT_SCHEDULE_TASK
	473, // DEADLOCK_AVOIDED
	574, // DISTRIBUTED_TOO_MANY_PENDING_BYTES
	76,  // CANNOT_OPEN_FILE: out of descriptors
	74,  // CANNOT_READ_FROM_FILE_DESCRIPTOR
	75,  // CANNOT_WRITE_TO_FILE_DESCRIPTOR: a full disk gives this one too
	codeTooManySessions,
	745, // SERVER_OVERLOADED
	999, // KEEPER_EXCEPTION
}

// fatal are the codes that an operator must act on: neither waiting nor leaving out rows helps.
var fatal = []int32{
	8,   // THERE_IS_NO_COLUMN
	10,  // NOT_FOUND_COLUMN_IN_BLOCK
	16,  // NO_SUCH_COLUMN_IN_TABLE
	47,  // UNKNOWN_IDENTIFIER
	48,  // NOT_IMPLEMENTED
	62,  // SYNTAX_ERROR
	115, // UNKNOWN_SETTING
	192, // UNKNOWN_USER
	193, // WRONG_PASSWORD
	codeUnknownTable, codeUnknownDatabase, codeReadonly, codeDenied, codeAuthentication, codeSettingBound,
}

// code returns the server's error code, or 0.
func code(err error) int32 {
	var e *ch.Exception
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func isCode(err error, codes ...int32) bool {
	c := code(err)
	return c != 0 && slices.Contains(codes, c)
}

// class sorts errors by what may be done about them.
type class int

const (
	classPass   class = iota // send it again
	classRefuse              // the server did not take the data: find the rows
	classFatal               // give up
)

func classify(err error) class {
	switch c := code(err); {
	case c == 0 && broken(err), slices.Contains(passing, c):
		return classPass
	case c == 0, slices.Contains(fatal, c):
		return classFatal
	default:
		return classRefuse
	}
}

// broken tells whether the connection failed, or never was.
func broken(err error) bool {
	var timeout net.Error
	var op *net.OpError
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, ch.ErrAcquireConnTimeout, ch.ErrAcquireConnNoAddress, ch.ErrConnectionClosed,
		ch.ErrServerUnexpectedData, context.DeadlineExceeded, syscall.EPIPE, syscall.ECONNRESET, syscall.ECONNREFUSED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.As(err, &op) || errors.As(err, &timeout)
}

// explain adds what to do to an error that an operator sees.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case isCode(err, codeAuthentication, 192, 193):
		return fmt.Errorf("%w: the user or password is refused; check clickhouse.dsn", err)
	case isCode(err, codeDenied):
		return fmt.Errorf("%w: grant it to the user of clickhouse.dsn", err)
	case isCode(err, codeUnknownTable, 47):
		return fmt.Errorf("%w: andon's tables are not there or not of this version; start andon up once to make them", err)
	case strings.Contains(err.Error(), "unexpected packet"):
		return fmt.Errorf("%w: this is not ClickHouse's native port, which is 9000, or 9440 with ?secure=true", err)
	case code(err) == 0 && broken(err):
		return fmt.Errorf("%w: ClickHouse cannot be reached; is it running, and is clickhouse.dsn its native port (9000, or 9440 with ?secure=true)?", err)
	default:
		return err
	}
}

package ingest

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/ingest/dial"
)

var (
	// errRejoin ends a session whose member the group no longer knows; the Intake begins another.
	errRejoin = errors.New("fenced out of the group")
	// errDraining refuses a new partition at the end of the program.
	errDraining = errors.New("no partition is taken on while the intake ends")
	// errInstance means that another process has taken this one's place as static member.
	errInstance = errors.New("another process of the group uses the same kafka.instance_id: give each its own")
)

// refusals are the broker's answers that asking again does not change, with what to do about each.
var refusals = []struct {
	err  error
	todo string
}{
	{kerr.TopicAuthorizationFailed, "let this user read the topic"},
	{kerr.GroupAuthorizationFailed, "let this user read the group"},
	{kerr.ClusterAuthorizationFailed, "let this user reach the cluster"},
	{kerr.InvalidSessionTimeout, "set kafka.session_timeout within the broker's group.min.session.timeout.ms and group.max.session.timeout.ms"},
	{kerr.InconsistentGroupProtocol, "members of one group must use the same kafka.balancer: stop those that use another"},
	{kerr.InvalidGroupID, "choose another group name"},
	{kerr.GroupMaxSizeReached, "the group is full: raise the broker's group.max.size"},
	{kerr.UnsupportedVersion, "the broker is too old for this client: it needs Apache Kafka 2.1 or later"},
	{kerr.UnknownTopicID, "the topic was deleted and made again: restart to read the new one, under a new group name if its offsets begin anew"},
	{kerr.FencedInstanceID, "another process uses the same kafka.instance_id: give each its own"},
	{kerr.UnreleasedInstanceID, "another process uses the same kafka.instance_id: give each its own"},
}

// permanent reports whether asking the broker again is no use, once it has answered at all.
func permanent(err error) bool {
	if dial.Hangup(err) {
		return false
	}
	if errors.Is(err, kgo.ErrClientClosed) || errors.Is(err, context.Canceled) {
		return true
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return true
		}
	}
	_, refused := dial.Advise(err)
	return refused
}

// passing reports whether an error ends by itself: the client goes on asking.
func passing(err error) bool {
	if permanent(err) {
		return false
	}
	_, group := errors.AsType[*kgo.ErrGroupSession](err)
	_, network := errors.AsType[net.Error](err)
	return group || network || dial.Hangup(err) || kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err)
}

// advise adds what to do to an error that an operator reads.
func advise(err error) error {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return fmt.Errorf("%w: %s", err, r.todo)
		}
	}
	err, _ = dial.Advise(err)
	return err
}

package event

import "errors"

// Member is a member of a consumer group in one of the group's generations.
type Member struct {
	ID string
	// Instance is the name of a static member, empty for others.
	Instance string
	// Generation is the group's generation or, where the brokers balance the group, the member's epoch.
	Generation int32
}

// What a group may say to a commit within a transaction. Nothing of such a commit was stored.
var (
	// ErrFenced means that the group has given the partition to another member, or this member is no longer part of the group: whatever this process would still
	// commit for it is refused.
	ErrFenced = errors.New("the partition now belongs to another member of the group")
	// ErrStale means that the group has a newer generation than the commit was made in; the member may still be part of it.
	ErrStale = errors.New("the group has a newer generation")
	// ErrUnsettled means that the group is about to agree on a new generation, or its coordinator has just moved.
	ErrUnsettled = errors.New("the group is not settled")
	// ErrReplaced means that another process has taken this one's place as static member.
	ErrReplaced = errors.New("another process has joined the group under the same instance")
)

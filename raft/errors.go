package raft

import (
	"context"
	"errors"
	"strings"
)

// Outcome says what became of a command whose call returned an error.
type Outcome uint8

// The outcomes.
const (
	// Unknown: the command may have been, or may still be, committed. Retrying can apply it twice
	// unless the state machine recognises repetitions.
	Unknown Outcome = iota
	// NotAppended: the command is not in the log and never will be. Retrying is safe.
	NotAppended
	// Committed: the command is committed; only what followed failed.
	Committed
)

// String returns the outcome in words.
func (o Outcome) String() string {
	switch o {
	case NotAppended:
		return "not appended, safe to retry"
	case Committed:
		return "committed"
	}
	return "outcome unknown"
}

// The errors that calls return, wrapped in [*Error]; test for them with errors.Is.
var (
	ErrNotLeader          = errors.New("not the leader")
	ErrNoLeader           = errors.New("no leader known")
	ErrLeadershipLost     = errors.New("leadership lost before the command was known to be committed")
	ErrTransferring       = errors.New("leadership is being transferred")
	ErrBusy               = errors.New("too much work is pending")
	ErrTooLarge           = errors.New("too large")
	ErrTermChanged        = errors.New("not the expected term")
	ErrStopped            = errors.New("stopped")
	ErrFailed             = errors.New("member has failed")
	ErrChangeInProgress   = errors.New("a configuration change is in progress")
	ErrConfigurationStale = errors.New("not the expected configuration")
	ErrCatchUp            = errors.New("peer did not catch up")
	ErrBadConfiguration   = errors.New("not a configuration that can be")
	ErrUnfit              = errors.New("peer can't be the leader")
	ErrQuorumAlive        = errors.New("a quorum is alive: change the peers in the regular way")
	ErrCompacted          = errors.New("entries were compacted")
	ErrCorrupt            = errors.New("corrupt data")
	ErrDiskFull           = errors.New("disk full")
	ErrWrongCluster       = errors.New("wrong cluster")
)

// Error is what calls of this module return: what was asked of which group, what became of it, and
// whom to ask instead. Unwrap gives the cause, so errors.Is works with the sentinels above.
type Error struct {
	Op      string  // the call, e.g. "apply"
	Group   GroupID // the group
	Outcome Outcome // of a command; NotAppended for calls that carry none
	Leader  Peer    // whom to ask instead; zero: not known
	Err     error   // the cause
}

// Error names the call, the group, the cause, the leader where known, and the outcome of a command.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("raft: " + e.Op)
	if e.Group != "" {
		b.WriteString(" in group " + string(e.Group))
	}
	b.WriteString(": " + e.Err.Error())
	if e.Leader.ID != "" {
		b.WriteString(" (the leader is " + string(e.Leader.ID) + " at " + e.Leader.Addr + ")")
	}
	if e.Op == "apply" {
		b.WriteString("; " + e.Outcome.String())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether the cause is, or wraps, target: errors.Is of Err.
func (e *Error) Is(target error) bool { return errors.Is(e.Err, target) }

// OutcomeOf tells what became of the command whose call returned err: Committed for nil, the
// outcome that an [*Error] in the chain carries, Unknown for everything else (a context's error
// included).
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Committed
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Outcome
	}
	return Unknown
}

// LeaderOf returns the leader that the error names as the one to ask instead.
func LeaderOf(err error) (Peer, bool) {
	var e *Error
	if errors.As(err, &e) && e.Leader.ID != "" {
		return e.Leader, true
	}
	return Peer{}, false
}

// IsTimeout reports whether err came from a context that ended.
func IsTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

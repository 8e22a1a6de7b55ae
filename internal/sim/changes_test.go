package sim

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

// requireChanges is the part of I35 that is about the membership: every kind of edit was asked for,
// and every outcome and every stage was met.
func (s *totals) requireChanges(t *testing.T, n int) {
	t.Helper()
	if n < 100 {
		return // a small batch may miss some of it by chance
	}
	x := &s.membership
	for kind := raft.EditAdd; kind <= raft.EditReplace; kind++ {
		require.Greaterf(t, x.Kinds[kind], n/4, "I35 not vacuous: edits of kind %d", kind)
	}
	for what, count := range map[string]int{
		"done": x.Done, "refused": x.Refused, "withdrawn": 5 * x.Withdrawn,
		"of unknown outcome":     5 * x.Unknown,
		"left by another leader": 20 * x.Inherited, "transfers": 2 * x.Transferred,
		"transfers that failed": x.NotTransferred, "connections that broke": x.Breaks / 10,
		"of them to the leader": x.Suspicions / 2, "moves": 4 * x.Moves,
		"messages to where nobody listens": x.Unreachable,
	} {
		require.Greaterf(t, count, n, "I35 not vacuous: changes: %s", what)
	}
	if n < enoughSeeds {
		return
	}
	for what, count := range map[string]int{
		"failed": x.Failed, "crashes of the leader while a voter catches up": x.CrashedCatchingUp,
		"while joint": x.CrashedJoint, "before the last is committed": x.CrashedLast,
		"in a transfer": x.CrashedTransferring, "transfers of unknown outcome": x.TransferUnknown,
		"machines that are gone for good": x.Lost,
	} {
		require.Positivef(t, count, "I35 not vacuous: changes: %s", what)
	}
}

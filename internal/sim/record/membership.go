package record

import "github.com/jraft-go/jraft/raft"

// Membership counts what was done with the membership and with leadership in a run.
type Membership struct {
	Kinds [raft.EditReplace + 1]int // edits that were asked for, by kind

	// What became of changes.
	Done      int
	Refused   int // at once
	Lagged    int // a new voter did not catch up
	Withdrawn int // nobody waited any more, and nothing had been appended
	Failed    int // leadership was lost before anything was appended
	Unknown   int
	Inherited int // joint configurations that another leader left than had begun them

	// In which stage of a change, or in a transfer, a leader went down.
	CrashedCatchingUp   int
	CrashedJoint        int
	CrashedLast         int
	CrashedTransferring int

	Transferred     int
	NotTransferred  int
	TransferUnknown int

	Breaks      int // connections that a member saw end
	Suspicions  int // of them those to its leader
	Moves       int // machines that changed their address
	Unreachable int // messages to where nobody listens
	Lost        int // machines that were gone for good, and were removed
	Untold      int // removed members that don't know it in the end
}

// Add adds the counts of another run.
func (m *Membership) Add(o *Membership) {
	for i := range m.Kinds {
		m.Kinds[i] += o.Kinds[i]
	}
	for i, n := range o.all() {
		*m.all()[i] += *n
	}
}

func (m *Membership) all() []*int {
	return []*int{
		&m.Done, &m.Refused, &m.Lagged, &m.Withdrawn, &m.Failed, &m.Unknown, &m.Inherited,
		&m.CrashedCatchingUp, &m.CrashedJoint, &m.CrashedLast, &m.CrashedTransferring,
		&m.Transferred, &m.NotTransferred, &m.TransferUnknown,
		&m.Breaks, &m.Suspicions, &m.Moves, &m.Unreachable, &m.Lost, &m.Untold,
	}
}

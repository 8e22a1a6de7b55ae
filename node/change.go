package node

import (
	"context"

	"github.com/jraft-go/jraft/raft"
)

// Change is one part of a membership change, see [Node.ChangePeers].
type Change func(*changes)

// changes is what all parts of one membership change ask for together.
type changes struct {
	edits   []raft.Edit
	ifIndex raft.Index
}

func edit(kind raft.EditKind, peers, learners []raft.Peer) Change {
	return func(c *changes) {
		c.edits = append(c.edits, raft.Edit{Kind: kind, Peers: peers, Learners: learners})
	}
}

func editIDs(kind raft.EditKind, ids []raft.PeerID) Change {
	peers := make([]raft.Peer, len(ids))
	for i, id := range ids {
		peers[i].ID = id
	}
	return edit(kind, peers, nil)
}

// Add makes peers voters, once they have caught up: strangers, or learners that the configuration
// has just so. A voter that is one already is no change.
func Add(p ...raft.Peer) Change { return edit(raft.EditAdd, p, nil) }

// AddLearner makes peers learners: they get the log, and neither vote nor count.
func AddLearner(p ...raft.Peer) Change { return edit(raft.EditAddLearner, p, nil) }

// Remove takes members out. One that is no member is no change.
func Remove(id ...raft.PeerID) Change { return editIDs(raft.EditRemove, id) }

// Promote makes learners voters, once they have caught up.
func Promote(id ...raft.PeerID) Change { return editIDs(raft.EditPromote, id) }

// Demote makes voters learners.
func Demote(id ...raft.PeerID) Change { return editIDs(raft.EditDemote, id) }

// SetAddr changes where a member is reached.
func SetAddr(id raft.PeerID, addr string) Change {
	return edit(raft.EditAddr, []raft.Peer{{ID: id, Addr: addr}}, nil)
}

// SetPriority changes the priority of a member, see [raft.Peer].
func SetPriority(id raft.PeerID, priority int) Change {
	return edit(raft.EditPriority, []raft.Peer{{ID: id, Priority: priority}}, nil)
}

// Replace makes these the members and nobody else.
func Replace(voters, learners []raft.Peer) Change {
	return edit(raft.EditReplace, voters, learners)
}

// IfIndex makes the change happen only if the membership is still the one that the configuration
// with index i gave, else it is [raft.ErrConfigurationStale].
func IfIndex(i raft.Index) Change { return func(c *changes) { c.ifIndex = i } }

// ChangePeers changes the membership.
func (n *Node) ChangePeers(ctx context.Context, ch ...Change) (raft.Configuration, error) {
	var all changes
	for _, c := range ch {
		c(&all)
	}
	return raft.Configuration{}, n.wrap("change peers", raft.NotAppended, ctx.Err())
}

// TransferLeadership hands leadership to another voter.
func (n *Node) TransferLeadership(ctx context.Context, to raft.PeerID) (raft.PeerID, error) {
	return to, n.wrap("transfer leadership", raft.NotAppended, ctx.Err())
}

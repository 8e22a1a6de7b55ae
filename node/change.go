package node

import (
	"context"
	"slices"

	"github.com/jraft-go/jraft/internal/petition"
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
// with index i gave, else it is [raft.ErrConfigurationStale]. The same change may be asked for
// again, with the same index, as long as no other was begun since.
func IfIndex(i raft.Index) Change { return func(c *changes) { c.ifIndex = i } }

// ChangePeers changes the membership (§6), on any member: those that do not lead ask the leader.
// All changes are made together, or none is; their order does not matter. It returns when the
// new configuration is committed, and returns that. New voters get the log first, while the members
// of now go on undisturbed; one that makes no progress for ten election timeouts ends the change,
// and nothing is changed. What is the case already is no change, so the same may be asked for
// again. While no leader is known, or leadership is being transferred, it waits until ctx ends. If
// the leader is lost on the way it asks the next one.
//
// Errors are [*raft.Error], and [raft.OutcomeOf] tells whether anything may have been changed:
// [raft.ErrChangeInProgress] (another one is under way), [raft.ErrConfigurationStale] (see
// [IfIndex]), [raft.ErrBadConfiguration], [raft.ErrCatchUp] (naming the peer and how far it got),
// [raft.ErrNoLeader], [raft.ErrBusy], or ctx's.
func (n *Node) ChangePeers(ctx context.Context, ch ...Change) (raft.Configuration, error) {
	all := collect(ch)
	if err := raft.ValidateEdits(all.edits); err != nil {
		return raft.Configuration{}, n.wrap("change peers", raft.NotAppended, err)
	}
	reply, err := n.ask(ctx, "change peers", petition.Request{
		Op: petition.OpChange, Edits: all.edits, IfIndex: all.ifIndex,
	})
	return reply.Configuration, err
}

// TransferLeadership hands leadership to a voter (thesis §3.10), on any member: those that do not
// lead ask the leader. With an empty id that is the best one: of those that answer, the one with
// the highest priority and then the most of the log; just after an election, the first that
// answers. It returns who leads when that member does. Once it is known who that is to be, no
// command is taken: Apply waits, Submit fails with [raft.ErrTransferring]. A target that does not
// take over within an election timeout, or none that answers, ends the transfer, and the leader
// leads on.
//
// Errors are [*raft.Error]: [raft.ErrUnfit] (no such voter, one that never leads, or none answers),
// [raft.ErrCatchUp] (it did not take over; this leader leads on), [raft.ErrChangeInProgress],
// [raft.ErrTransferring] (to another), [raft.ErrNoLeader], or ctx's. With [raft.Unknown] as outcome
// leadership may change still.
func (n *Node) TransferLeadership(ctx context.Context, to raft.PeerID) (raft.PeerID, error) {
	reply, err := n.ask(ctx, "transfer leadership", petition.Request{Op: petition.OpTransfer, To: to})
	return reply.To, err
}

func (n *Node) ask(ctx context.Context, op string, r petition.Request) (petition.Reply, error) {
	reply := n.asker.Do(ctx, r)
	if reply.Err == nil {
		return reply, nil
	}
	outcome := raft.NotAppended
	if reply.Unknown {
		outcome = raft.Unknown
	}
	return petition.Reply{To: reply.To}, n.wrap(op, outcome, reply.Err)
}

// handOver transfers leadership before this member stops, if it leads.
func (n *Node) handOver(ctx context.Context) {
	s := n.status.Load()
	select {
	case <-n.ending:
		return
	default:
	}
	others := slices.ContainsFunc(s.Configuration.Voters, func(p raft.Peer) bool {
		return p.ID != n.opts.ID
	})
	if s.Role != Leader || !others || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, n.opts.ElectionTimeout)
	defer cancel()
	reply := n.desk.Ask(ctx, petition.Request{ID: petition.NewID(), Op: petition.OpTransfer})
	if reply.Err != nil {
		n.log.Info("raft: stopping without a successor", "cause", reply.Err)
	}
}

package raft

import (
	"errors"
	"fmt"
	"slices"
)

// EditKind says what an [Edit] does.
type EditKind uint8

// The kinds of edit. The numbers are part of the wire format.
const (
	EditAdd        EditKind = 1 // Peers become voters
	EditAddLearner EditKind = 2 // Peers become learners
	EditRemove     EditKind = 3 // the members named by the ids of Peers go
	EditPromote    EditKind = 4 // learners become voters
	EditDemote     EditKind = 5 // voters become learners
	EditAddr       EditKind = 6 // members get the addresses in Peers
	EditPriority   EditKind = 7 // members get the priorities in Peers
	EditReplace    EditKind = 8 // Peers are the voters and Learners the learners, nobody else

	editsEnd = 9
)

// Edit is one part of a membership change: what is wanted, whoever asks. Of each peer only the
// fields that the kind speaks of count.
type Edit struct {
	Kind     EditKind
	Peers    []Peer
	Learners []Peer // of EditReplace
}

// Edited returns the configuration that the edits make of c; what c has of a joint change goes. An
// edit that asks for what is the case already changes nothing, so that a change may be asked for
// again. What contradicts the configuration, or another of the edits, is an error that wraps
// [ErrBadConfiguration]: a member that is added under another address, a stranger that is promoted,
// a result without a voter that may lead. The result has index 0 and shares no memory with c and
// the edits.
func (c *Configuration) Edited(edits []Edit) (Configuration, error) {
	if err := agree(edits); err != nil {
		return Configuration{}, fmt.Errorf("%w: %w", ErrBadConfiguration, err)
	}
	target := c.Clone()
	target.Index, target.Outgoing = 0, nil
	for i := range edits {
		if err := target.edit(&edits[i]); err != nil {
			return Configuration{}, fmt.Errorf("%w: %w", ErrBadConfiguration, err)
		}
	}
	if err := errors.Join(target.Validate(), target.sharedAddr()); err != nil {
		return Configuration{}, fmt.Errorf("%w: %w", ErrBadConfiguration, err)
	}
	return target, nil
}

// agree tells which edits speak of the same peer and can't both be meant. So their order does not
// matter, and asking again for what was done changes nothing.
func agree(edits []Edit) error {
	const (
		alone = 1<<EditAdd | 1<<EditAddLearner | 1<<EditRemove
		vote  = 1<<EditPromote | 1<<EditDemote
	)
	named := map[PeerID]uint{} // by which kinds
	for i := range edits {
		if edits[i].Kind == EditReplace && len(edits) > 1 {
			return errors.New("a replacement of all members says everything: no other edit goes with it")
		}
		for _, p := range edits[i].Peers {
			before, kind := named[p.ID], uint(1)<<edits[i].Kind
			all := before | kind
			if before&kind != 0 || before != 0 && all&alone != 0 || all&vote == vote {
				return fmt.Errorf("%s is named by edits that don't go together", p.ID)
			}
			named[p.ID] = all
		}
	}
	return nil
}

func (c *Configuration) edit(e *Edit) error {
	if e.Kind == EditReplace {
		c.Voters, c.Learners = slices.Clone(e.Peers), slices.Clone(e.Learners)
		return nil
	}
	for _, p := range e.Peers {
		if err := c.editPeer(e.Kind, p); err != nil {
			return err
		}
	}
	return nil
}

func (c *Configuration) editPeer(kind EditKind, p Peer) error {
	old, member := c.Peer(p.ID)
	voter := hasPeer(c.Voters, p.ID)
	switch kind {
	case EditAdd, EditAddLearner:
		if member && old != p {
			return fmt.Errorf("%s is a member already, at %s with priority %d: change that by itself",
				p.ID, old.Addr, old.Priority)
		}
		if kind == EditAddLearner && voter {
			return fmt.Errorf("%s is a voter already: demote it", p.ID)
		}
		c.put(p, kind == EditAdd)
	case EditRemove:
		c.drop(p.ID)
	case EditPromote, EditDemote, EditAddr, EditPriority:
		if !member {
			return fmt.Errorf("%s is no member", p.ID)
		}
		switch kind {
		case EditAddr:
			old.Addr = p.Addr
		case EditPriority:
			old.Priority = p.Priority
		}
		c.put(old, kind == EditPromote || kind != EditDemote && voter)
	default:
		return fmt.Errorf("edit of kind %d is not known", kind)
	}
	return nil
}

// put makes p a voter or a learner, where it stands if it is one already.
func (c *Configuration) put(p Peer, voter bool) {
	to, other := &c.Learners, &c.Voters
	if voter {
		to, other = other, to
	}
	*other = without(*other, p.ID)
	for i := range *to {
		if (*to)[i].ID == p.ID {
			(*to)[i] = p
			return
		}
	}
	*to = append(*to, p)
}

func (c *Configuration) drop(id PeerID) {
	c.Voters, c.Learners = without(c.Voters, id), without(c.Learners, id)
}

func without(list []Peer, id PeerID) []Peer {
	return slices.DeleteFunc(list, func(p Peer) bool { return p.ID == id })
}

// sharedAddr tells of two members at one address: a process runs one member of a group.
func (c *Configuration) sharedAddr() error {
	all := c.Members()
	for i, p := range all {
		for _, other := range all[:i] {
			if p.Addr == other.Addr {
				return fmt.Errorf("%s and %s are both at %s", other.ID, p.ID, p.Addr)
			}
		}
	}
	return nil
}

// SameMembers reports whether both have the same members in the same parts, whatever the order and
// the index.
func (c *Configuration) SameMembers(o *Configuration) bool {
	return samePeers(c.Voters, o.Voters) && samePeers(c.Learners, o.Learners) &&
		samePeers(c.Outgoing, o.Outgoing)
}

// SameVoters reports whether the same peers vote in both, neither of which is joint; addresses and
// priorities may differ.
func (c *Configuration) SameVoters(o *Configuration) bool {
	if len(c.Voters) != len(o.Voters) {
		return false
	}
	for i := range c.Voters {
		if !hasPeer(o.Voters, c.Voters[i].ID) {
			return false
		}
	}
	return true
}

func samePeers(a, b []Peer) bool {
	if len(a) != len(b) {
		return false
	}
	for _, p := range a {
		if !slices.Contains(b, p) {
			return false
		}
	}
	return true
}

// ValidateEdits tells what is wrong with edits whatever the configuration: none at all, an unknown
// kind, an edit of nobody, a bad id, two that don't go together. It wraps [ErrBadConfiguration].
func ValidateEdits(edits []Edit) error {
	var errs []error
	if len(edits) == 0 {
		errs = append(errs, errors.New("nothing is to be changed"))
	}
	for _, e := range edits {
		if n := len(e.Peers) + len(e.Learners); n > maxMembers {
			return fmt.Errorf("%w: an edit names %d peers, at most %d may be", ErrBadConfiguration, n,
				maxMembers)
		}
		if e.Kind == 0 || e.Kind >= editsEnd {
			errs = append(errs, fmt.Errorf("edit of kind %d is not known", e.Kind))
		}
		if len(e.Peers) == 0 {
			errs = append(errs, errors.New("an edit names nobody"))
		}
		for _, p := range append(e.Peers[:len(e.Peers):len(e.Peers)], e.Learners...) {
			errs = append(errs, p.ID.Validate())
		}
	}
	if err := errors.Join(append(errs, agree(edits))...); err != nil {
		return fmt.Errorf("%w: %w", ErrBadConfiguration, err)
	}
	return nil
}

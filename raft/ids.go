package raft

import (
	"fmt"
	"strconv"
)

// Term is a leadership period (§5.1). Terms start at 1; the first configuration of a group, which
// no leader wrote, has term 0.
type Term uint64

// Index is a position in the log (§5.3). The first entry has index 1; 0 means "before the first
// entry".
type Index uint64

// PeerID is the stable identity of a member: 1 to 64 characters of [A-Za-z0-9._-]. It is never an
// address.
type PeerID string

// GroupID names one Raft group; same alphabet as [PeerID].
type GroupID string

// LogID names one entry for ever: no two entries of a group share both term and index (§5.3, Log
// Matching). It corresponds to com.alipay.sofa.jraft.entity.LogId.
type LogID struct {
	Term  Term
	Index Index
}

// Less orders log positions as elections compare them: by term first, then by index (§5.4.1).
func (a LogID) Less(b LogID) bool {
	return a.Term < b.Term || (a.Term == b.Term && a.Index < b.Index)
}

// String returns "term/index".
func (a LogID) String() string {
	return strconv.FormatUint(uint64(a.Term), 10) + "/" + strconv.FormatUint(uint64(a.Index), 10)
}

// MaxIDBytes bounds PeerID, GroupID and cluster ids.
const MaxIDBytes = 64

// Validate tells what is wrong with the id, or returns nil.
func (p PeerID) Validate() error { return validID("peer id", string(p)) }

// Validate tells what is wrong with the id, or returns nil.
func (g GroupID) Validate() error { return validID("group id", string(g)) }

// ValidateCluster tells what is wrong with a cluster id, or returns nil. Same alphabet as [PeerID];
// the empty cluster id is valid and equals only itself.
func ValidateCluster(id string) error {
	if id == "" {
		return nil
	}
	return validID("cluster id", id)
}

func validID(what, s string) error {
	if len(s) < 1 || len(s) > MaxIDBytes {
		return fmt.Errorf("raft: %s %.80q has %d characters, need 1 to %d", what, s, len(s), MaxIDBytes)
	}
	for _, c := range s {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("raft: %s %q contains %q, allowed are letters, digits, '.', '_' and '-'",
				what, s, c)
		}
	}
	return nil
}

// HardState is what a member must not forget (§5.1, Figure 2 "persistent state"): its term and the
// candidate that it voted for in that term. The two are written together or not at all.
type HardState struct {
	Term Term
	Vote PeerID // empty: no vote in this term
}

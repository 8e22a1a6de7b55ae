package keeper

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/jraft-go/jraft/raft"
)

// Audit is one line of the file audit.log in a member's directory: what was done to the member by
// hand that the protocol does not know of.
type Audit struct {
	Time    time.Time          `json:"time"`
	What    string             `json:"what"`
	Stage   string             `json:"stage"` // begin, done or failed
	Cluster string             `json:"cluster,omitempty"`
	Group   raft.GroupID       `json:"group"`
	Peer    raft.PeerID        `json:"peer"`
	Term    raft.Term          `json:"term"` // before
	Last    raft.LogID         `json:"last"` // the last entry, before
	Before  raft.Configuration `json:"before"`
	After   raft.Configuration `json:"after"`
	Copy    string             `json:"copy,omitempty"` // where what was changed is kept as it was
	Error   string             `json:"error,omitempty"`
}

const auditName = "audit.log"

// Record appends a line to the directory's audit file, and returns when it is durable. Records are
// never changed or removed.
func (h Home) Record(a Audit) (err error) {
	if h.Dir == "" {
		return nil // the member keeps its stores elsewhere, and the log of the program tells
	}
	a.Cluster, a.Group, a.Peer = h.Member.Cluster, h.Member.Group, h.Member.ID
	a.Time = time.Now().UTC()
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(h.Dir, auditName), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(h.Dir)
}

// Audited records that something begins, does it, and records how it ended.
func (h Home) Audited(a Audit, do func() error) error {
	a.Stage = "begin"
	if err := h.Record(a); err != nil {
		return err
	}
	err := do()
	a.Stage = "done"
	if err != nil {
		a.Stage, a.Error = "failed", err.Error()
	}
	return errors.Join(err, h.Record(a))
}

package vfs

import (
	"io/fs"
	"slices"
)

// Op is a kind of operation, for counting and for faults.
type Op uint8

// The kinds of operation. Those up to OpSyncDir change something; OpOpen also stands for Lock.
const (
	OpCreate   Op = iota // Create, Link and MkdirAll
	OpRename             // Rename
	OpRemove             // Remove
	OpWrite              // WriteAt
	OpTruncate           // Truncate and Allocate
	OpSync               // Sync
	OpSyncData           // SyncData
	OpSyncDir            // SyncDir
	OpOpen               // Open and Lock
	OpRead               // ReadAt and Size
	OpList               // List
	opKinds
)

// String returns the operation in a word.
func (o Op) String() string {
	return [...]string{"create", "rename", "remove", "write", "truncate", "sync", "sync data",
		"sync directory", "open", "read", "list", "unknown"}[min(o, opKinds)]
}

// Keep says what a power loss leaves of what was written and not synced.
type Keep uint8

// What a crash leaves.
const (
	KeepNone Keep = iota // nothing
	KeepSome             // any of the sectors of each file; of each directory's changes any prefix
	KeepAll              // everything
)

type fault struct {
	op  Op
	at  uint64 // when the count of op has come to this
	err error
}

// begin counts an operation and returns the error that it is to fail with. The lock is held.
func (m *Mem) begin(op Op, name string) error {
	m.counts[op]++
	if m.stop > 0 && (m.changes() >= m.stop) {
		return pathError(op.String(), name, ErrCrashed)
	}
	for i, f := range m.faults {
		if f.op == op && f.at == m.counts[op] {
			m.faults = slices.Delete(m.faults, i, i+1)
			return pathError(op.String(), name, f.err)
		}
	}
	return nil
}

func (m *Mem) changes() (n uint64) {
	for _, c := range m.counts[:OpSyncDir+1] {
		n += c
	}
	return n
}

// Changes returns how many operations that change something (see [Op]) were begun so far.
func (m *Mem) Changes() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changes()
}

// Count returns how many operations of a kind were begun so far.
func (m *Mem) Count(op Op) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[op]
}

// Crash is a loss of power: of what was not synced keep is left, every open file and lock is dead,
// and the file system can be used again at once, as after a reboot. Faults that were set and
// [Mem.StopAfter] are forgotten.
func (m *Mem) Crash(keep Keep) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.root.crash(keep, m.rng)
	m.kill()
}

// Kill is the end of the process and not of the machine: everything written stays, un-synced where
// it was not synced, so that a later Crash can still take it. For the rest it is as Crash.
func (m *Mem) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kill()
}

func (m *Mem) kill() {
	m.life++
	m.locks = map[string]string{}
	m.stop, m.faults = 0, nil
}

// Fail makes the n-th operation of a kind from now (1: the next one) fail with err and without
// effect.
func (m *Mem) Fail(op Op, n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, fault{op, m.counts[op] + uint64(n), err})
}

// Mend forgets the faults that Fail has set and that have not happened.
func (m *Mem) Mend() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = nil
}

// StopAfter lets n more changing operations happen; from then on everything fails with
// [ErrCrashed], until Crash or Kill.
func (m *Mem) StopAfter(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stop = m.changes() + uint64(n) + 1
}

// SetSpace limits what can be written from now on; beyond it writes fail with [ErrNoSpace].
// Negative: no limit.
func (m *Mem) SetSpace(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.space = bytes
}

// FlipBit damages a file on disk: it inverts one bit (0..7) of the byte at offset, in what is
// durable and in what readers see.
func (m *Mem) FlipBit(name string, offset int64, bit uint) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return err
	}
	if n.names != nil || offset < 0 || offset >= n.now.size {
		return pathError("flip", name, fs.ErrInvalid)
	}
	at := int(offset / SectorBytes)
	for _, e := range []*extent{&n.durable, &n.now} {
		s := new(sector)
		if old := e.sector(at); old != nil {
			*s = *old
		}
		s[offset%SectorBytes] ^= 1 << (bit & 7)
		e.apply(change{at: at, to: s})
	}
	return nil
}

// Clone returns an independent copy of the file system as it is now, un-synced changes included,
// with crashes drawing on the same source, no open files, locks or faults.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMem(m.rng)
	seen := map[*memNode]*memNode{}
	c.root = m.root.clone(seen)
	return c
}

func (n *memNode) clone(seen map[*memNode]*memNode) *memNode {
	if n == nil {
		return nil
	}
	if c := seen[n]; c != nil {
		return c
	}
	c := &memNode{}
	seen[n] = c
	if n.names == nil {
		c.durable = extent{slices.Clone(n.durable.sectors), n.durable.size}
		c.now = extent{slices.Clone(n.now.sectors), n.now.size}
		c.pending = slices.Clone(n.pending)
		return c
	}
	c.names = &memNames{durable: map[string]*memNode{}, now: map[string]*memNode{}}
	for name, child := range n.names.durable {
		c.names.durable[name] = child.clone(seen)
	}
	for name, child := range n.names.now {
		c.names.now[name] = child.clone(seen)
	}
	for _, p := range n.names.pending {
		c.names.pending = append(c.names.pending, nameChange{p.from, p.to, p.node.clone(seen)})
	}
	return c
}

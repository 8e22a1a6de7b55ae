package logmanager_test

import (
	"errors"
	"fmt"
	"slices"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// model is what a store must be equal to: the groups' logs as plain slices.
type model struct {
	groups map[raft.GroupID]*modelGroup
}

type modelGroup struct {
	hard    raft.HardState
	floor   raft.LogID   // the last reset
	entries []raft.Entry // after floor, compacted or not
	compact raft.Index   // entries up to here may be gone
}

func (g *modelGroup) last() raft.Index { return g.floor.Index + raft.Index(len(g.entries)) }

// id returns the id of an entry that is there, or of the floor.
func (g *modelGroup) id(i raft.Index) raft.LogID {
	if i == g.floor.Index {
		return g.floor
	}
	return g.entries[i-g.floor.Index-1].ID()
}

// after returns the entries after an index.
func (g *modelGroup) after(i raft.Index) []raft.Entry { return g.entries[i-g.floor.Index:] }

func newModel() *model { return &model{groups: map[raft.GroupID]*modelGroup{}} }

func (m *model) clone() *model {
	c := newModel()
	for id, g := range m.groups {
		own := *g
		own.entries = slices.Clone(g.entries)
		c.groups[id] = &own
	}
	return c
}

func (m *model) group(id raft.GroupID) *modelGroup {
	if m.groups[id] == nil {
		m.groups[id] = &modelGroup{}
	}
	return m.groups[id]
}

func (m *model) apply(batch ...logmanager.Write) {
	for _, w := range batch {
		g := m.group(w.Group)
		if w.HardState != nil {
			g.hard = *w.HardState
		}
		if w.Reset != (raft.LogID{}) {
			g.floor, g.compact, g.entries = w.Reset, w.Reset.Index, nil
		}
		if w.Truncate > 0 && w.Truncate <= g.last() {
			g.entries = slices.Clone(g.entries[:w.Truncate-1-g.floor.Index])
		}
		g.entries = append(slices.Clip(g.entries), w.Entries...)
		g.compact = max(g.compact, w.Compact)
	}
}

// steps cuts a call of Write into the smallest changes that a store may carry out one by one.
func steps(batch []logmanager.Write) (out []logmanager.Write) {
	for _, w := range batch {
		if w.HardState != nil {
			out = append(out, logmanager.Write{Group: w.Group, HardState: w.HardState})
		}
		if w.Reset != (raft.LogID{}) {
			out = append(out, logmanager.Write{Group: w.Group, Reset: w.Reset})
		}
		if w.Truncate > 0 {
			out = append(out, logmanager.Write{Group: w.Group, Truncate: w.Truncate})
		}
		for i := range w.Entries {
			out = append(out, logmanager.Write{Group: w.Group, Entries: w.Entries[i : i+1]})
		}
		if w.Compact > 0 {
			out = append(out, logmanager.Write{Group: w.Group, Compact: w.Compact})
		}
	}
	return out
}

// stored is what a store with this base says.
func (g *modelGroup) stored(base raft.LogID) (s logmanager.Stored) {
	s.HardState, s.Base, s.Last = g.hard, base, base
	for _, e := range g.after(base.Index) {
		if len(s.Runs) == 0 || e.Term != s.Last.Term {
			s.Runs = append(s.Runs, logmanager.Run{First: e.Index, Term: e.Term})
		}
		if e.Kind == raft.EntryConfiguration {
			s.Configurations = append(s.Configurations, e)
		}
		s.Last = e.ID()
	}
	return s
}

// differs says how the store is not what the model is, in everything that Load and Read tell; "" if
// it is the same.
func (m *model) differs(s logmanager.Store, groups ...raft.GroupID) (string, error) {
	for _, id := range groups {
		g := m.group(id)
		got, err := s.Load(id)
		if err != nil {
			return "", err
		}
		if got.Base.Index < g.floor.Index || got.Base.Index > g.compact ||
			got.Base != g.id(got.Base.Index) {
			return fmt.Sprintf("group %s: base is %v, the last reset %v, compacted up to %d",
				id, got.Base, g.floor, g.compact), nil
		}
		want := g.stored(got.Base)
		equal := got.HardState == want.HardState && got.Base == want.Base && got.Last == want.Last &&
			slices.Equal(got.Runs, want.Runs) &&
			slices.EqualFunc(got.Configurations, want.Configurations, same)
		if !equal {
			return fmt.Sprintf("group %s: stored %s, want %s", id, brief(got), brief(want)), nil
		}
		if _, err := s.Read(id, got.Base.Index, g.last(), 100, nil); !errors.Is(err, raft.ErrCompacted) {
			return fmt.Sprintf("group %s: read of the base: %v", id, err), nil
		}
		if g.last() == got.Base.Index {
			continue
		}
		read, err := s.Read(id, got.Base.Index+1, g.last(), 1<<30, nil)
		if err != nil {
			return "", err
		}
		if wanted := g.after(got.Base.Index); !slices.EqualFunc(read, wanted, same) {
			return fmt.Sprintf("group %s: read %d entries, want %d, or other ones",
				id, len(read), len(wanted)), nil
		}
	}
	return "", nil
}

func same(a, b raft.Entry) bool {
	return a.ID() == b.ID() && a.Kind == b.Kind && string(a.Data) == string(b.Data)
}

func brief(s logmanager.Stored) string {
	return fmt.Sprintf("hard state %v, base %v, last %v, runs %v, %d configurations",
		s.HardState, s.Base, s.Last, s.Runs, len(s.Configurations))
}

package logmanager_test

import (
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
	entries []raft.Entry
}

func newModel() *model { return &model{groups: map[raft.GroupID]*modelGroup{}} }

func (m *model) clone() *model {
	c := newModel()
	for id, g := range m.groups {
		c.groups[id] = &modelGroup{g.hard, slices.Clone(g.entries)}
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
		if w.Truncate > 0 && int(w.Truncate) <= len(g.entries) {
			g.entries = slices.Clone(g.entries[:w.Truncate-1])
		}
		g.entries = append(slices.Clip(g.entries), w.Entries...)
	}
}

// steps cuts a call of Write into the smallest changes that a store may carry out one by one.
func steps(batch []logmanager.Write) (out []logmanager.Write) {
	for _, w := range batch {
		if w.HardState != nil {
			out = append(out, logmanager.Write{Group: w.Group, HardState: w.HardState})
		}
		if w.Truncate > 0 {
			out = append(out, logmanager.Write{Group: w.Group, Truncate: w.Truncate})
		}
		for i := range w.Entries {
			out = append(out, logmanager.Write{Group: w.Group, Entries: w.Entries[i : i+1]})
		}
	}
	return out
}

func (g *modelGroup) stored() (s logmanager.Stored) {
	s.HardState = g.hard
	for _, e := range g.entries {
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
		want := g.stored()
		equal := got.HardState == want.HardState && got.Base == want.Base && got.Last == want.Last &&
			slices.Equal(got.Runs, want.Runs) &&
			slices.EqualFunc(got.Configurations, want.Configurations, same)
		if !equal {
			return fmt.Sprintf("group %s: stored %s, want %s", id, brief(got), brief(want)), nil
		}
		if len(g.entries) == 0 {
			continue
		}
		read, err := s.Read(id, 1, raft.Index(len(g.entries)), 1<<30, nil)
		if err != nil {
			return "", err
		}
		if !slices.EqualFunc(read, g.entries, same) {
			return fmt.Sprintf("group %s: read %d entries, want %d, or other ones",
				id, len(read), len(g.entries)), nil
		}
	}
	return "", nil
}

func same(a, b raft.Entry) bool {
	return a.ID() == b.ID() && a.Kind == b.Kind && string(a.Data) == string(b.Data)
}

func brief(s logmanager.Stored) string {
	return fmt.Sprintf("hard state %v, last %v, runs %v, %d configurations",
		s.HardState, s.Last, s.Runs, len(s.Configurations))
}

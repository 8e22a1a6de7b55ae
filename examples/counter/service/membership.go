package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
)

// Configuration is the membership as one member knows it.
type Configuration struct {
	Index   uint64 `json:"index"`
	Joint   bool   `json:"joint,omitempty"` // a change is under way: leaving voters still count
	Members []Part `json:"members"`
}

// Part is one member's part in it.
type Part struct {
	ID       string `json:"id"`
	Addr     string `json:"addr"` // where it speaks Raft
	HTTP     string `json:"http"` // and to clients
	Part     string `json:"part"`
	Priority int    `json:"priority,omitempty"`

	// What the leader knows of it; empty on other members.
	State string `json:"state,omitempty"` // how it is sent the log: probe, replicate or snapshot
	Match uint64 `json:"match,omitempty"` // the newest entry known to be on its disk
	Heard string `json:"heard,omitempty"` // how long ago
}

// What a member is part of the group as.
const (
	PartVoter   = "voter"
	PartLearner = "learner"
	PartLeaving = "leaving" // a voter until the change under way is done
	PartJoining = "joining" // it catches up, and is a voter then
)

// IDs returns who has that part, for people to read.
func (c Configuration) IDs(as string) string {
	var ids []string
	for _, p := range c.Members {
		if p.Part == as {
			ids = append(ids, p.ID)
		}
	}
	return strings.Join(ids, " ")
}

// Includes reports whether the member is part of it.
func (c Configuration) Includes(id string) bool {
	return slices.ContainsFunc(c.Members, func(p Part) bool { return p.ID == id })
}

func (m *member) web(p raft.Peer) string { return ClientAddr(m.http, string(p.ID), p.Addr) }

// describe puts a member's status into the form that clients get.
func (m *member) describe(s *node.Status) Configuration {
	c := Configuration{Index: uint64(s.Configuration.Index), Joint: s.Configuration.Joint()}
	add := func(p raft.Peer, as string) {
		one := Part{ID: string(p.ID), Addr: p.Addr, HTTP: m.web(p), Part: as, Priority: p.Priority}
		for _, known := range s.Peers {
			if known.ID == p.ID {
				one.State, one.Match = known.State, uint64(known.Match)
				one.Heard = known.LastHeard.Round(time.Millisecond).String()
			}
		}
		c.Members = append(c.Members, one)
	}
	for _, p := range s.Configuration.Members() {
		switch {
		case s.Configuration.IsLearner(p.ID):
			add(p, PartLearner)
		case slices.Contains(s.Configuration.Voters, p):
			add(p, PartVoter)
		default:
			add(p, PartLeaving)
		}
	}
	if s.Changing != nil {
		for _, p := range s.Changing.Target.Voters {
			if _, already := s.Configuration.Peer(p.ID); !already {
				add(p, PartJoining)
			}
		}
	}
	return c
}

// membersHeader is in every answer: the index of the configuration, and where its members serve
// clients. So a client knows members that it was never told of by hand, and outlives all that it
// was started with.
const membersHeader = "Counter-Members"

// tellMembers also answers for a member that was removed, which would wait for a leader in vain.
func (m *member) tellMembers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A configuration that is not committed may be undone.
		s := m.node.Status()
		if s.Configuration.Index > 0 && s.Configuration.Index <= s.Commit {
			at := []string{strconv.FormatUint(uint64(s.Configuration.Index), 10)}
			for _, p := range s.Configuration.Members() {
				at = append(at, m.web(p))
			}
			w.Header().Set(membersHeader, strings.Join(at, " "))
		}
		if s.Removed && r.URL.Path != "/status" && r.URL.Path != "/members" {
			reply(w, http.StatusServiceUnavailable, Failure{
				Message: m.id + " was removed from the group", Outcome: outcomeNotAppended,
			})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Members is what a member says of the group.
type Members struct {
	From       string `json:"from"` // who says so
	Leader     string `json:"leader"`
	LeaderHTTP string `json:"leader_http"`
	Term       uint64 `json:"term"`
	Configuration
}

func (m *member) members(w http.ResponseWriter, _ *http.Request) {
	s := m.node.Status()
	a := Members{From: m.id, Term: uint64(s.Term), Configuration: m.describe(&s)}
	if s.Leader.ID != "" {
		a.Leader, a.LeaderHTTP = string(s.Leader.ID), m.web(s.Leader)
	}
	reply(w, http.StatusOK, a)
}

// change changes the membership, and answers with the new one once it is in force. All that the
// request asks for is one change: either all of it happens, or nothing. Any member may be asked,
// and asked again: what is done already is no change.
//
//	curl -X POST 'http://127.0.0.1:8101/members?add=n4=127.0.0.1:7104&remove=n2'
func (m *member) change(w http.ResponseWriter, r *http.Request) {
	asked, err := parseChanges(r)
	if err != nil {
		reply(w, http.StatusBadRequest, Failure{Message: err.Error(), Outcome: outcomeNotAppended})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), ChangeWithin)
	defer cancel()
	got, err := m.node.ChangePeers(ctx, asked...)
	if err != nil {
		m.fail(w, err)
		return
	}
	reply(w, http.StatusOK, m.describe(&node.Status{Configuration: got}))
}

// changes are what a change can ask for, by the name of the form value.
var changes = []struct {
	name     string
	withAddr bool // the value is id=host:port, else id
	of       func(raft.Peer) node.Change
}{
	{"add", true, func(p raft.Peer) node.Change { return node.Add(p) }},
	{"learner", true, func(p raft.Peer) node.Change { return node.AddLearner(p) }},
	{"promote", false, func(p raft.Peer) node.Change { return node.Promote(p.ID) }},
	{"demote", false, func(p raft.Peer) node.Change { return node.Demote(p.ID) }},
	{"remove", false, func(p raft.Peer) node.Change { return node.Remove(p.ID) }},
}

func parseChanges(r *http.Request) (asked []node.Change, err error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	for _, c := range changes {
		for _, value := range r.Form[c.name] {
			id, addr, hasAddr := strings.Cut(value, "=")
			if hasAddr != c.withAddr {
				return nil, fmt.Errorf("%s is %q, need id=host:port to add a member, else its id",
					c.name, value)
			}
			asked = append(asked, c.of(raft.Peer{ID: raft.PeerID(id), Addr: addr}))
		}
	}
	if len(asked) == 0 {
		return nil, errors.New("nothing is asked for, need add, learner, promote, demote or remove")
	}
	return asked, nil
}

// Transferred is the answer to a transfer.
type Transferred struct {
	Leader string `json:"leader"`
}

// transfer hands leadership to the member in to=, or to the best one, and answers once that leads.
func (m *member) transfer(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), ChangeWithin)
	defer cancel()
	leader, err := m.node.TransferLeadership(ctx, raft.PeerID(r.FormValue("to")))
	if err != nil {
		m.fail(w, err)
		return
	}
	reply(w, http.StatusOK, Transferred{string(leader)})
}

package grpctransport

import (
	"sync"

	"github.com/jraft-go/jraft/raft"
)

// senders counts the control streams that members send over.
type senders struct {
	mu   sync.Mutex
	open map[raft.PeerID]int
}

func (s *senders) add(id raft.PeerID, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[raft.PeerID]int)
	}
	if s.open[id] += n; s.open[id] == 0 {
		delete(s.open, id)
	}
}

func (s *senders) sends(id raft.PeerID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[id] > 0
}

// saw notes who sends over the stream.
func (in *inbound) saw(id raft.PeerID) {
	if in.senders[id] || len(in.senders) >= maxSenders {
		return
	}
	in.senders[id] = true
	if in.lane == laneControl {
		in.t.senders.add(id, 1)
	}
}

// broken tells the members here that the stream of those who sent over it has ended. What is left
// of a bulk stream may come after the end of the control stream, and would look like a sign of
// life: so the end of the last of the two counts as well.
func (in *inbound) broken() {
	for id := range in.senders {
		if in.lane == laneControl {
			in.t.senders.add(id, -1)
		} else if in.t.senders.sends(id) {
			continue
		}
		in.t.registry.Broken(id)
	}
}

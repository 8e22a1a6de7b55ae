package logmanager_test

import (
	"math/rand/v2"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func options() logmanager.SegmentOptions {
	return logmanager.SegmentOptions{
		Cluster: "c", Peer: "p1", Holder: "a test", Salt: 1,
		FirstSegmentBytes: 2048, MaxSegmentBytes: 4096,
	}
}

func entry(term raft.Term, index raft.Index, data string) raft.Entry {
	e, _ := raft.MakeEntry(nil, term, index, raft.EntryCommand, []byte(data))
	return e
}

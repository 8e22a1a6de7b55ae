package ballotbox_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/ballotbox"
	"github.com/jraft-go/jraft/raft"
)

var ids = [...]raft.PeerID{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}

// peers are the members whose bits are set.
func peers(set uint) (list []raft.Peer) {
	for n, id := range ids {
		if set>>n&1 == 1 {
			list = append(list, raft.Peer{ID: id})
		}
	}
	return list
}

func number(id raft.PeerID) int { return int(id[0] - 'a') }

// majority is the definition: more than half of the list.
func majority(list []raft.Peer, has func(raft.PeerID) bool) bool {
	n := 0
	for _, p := range list {
		if has(p.ID) {
			n++
		}
	}
	return 2*n > len(list)
}

// quorum is the definition: a majority of the voters and, while joint, one of the old voters (§6).
func quorum(c *raft.Configuration, has func(raft.PeerID) bool) bool {
	return majority(c.Voters, has) && (len(c.Outgoing) == 0 || majority(c.Outgoing, has))
}

// reached is the definition: the highest value that a quorum has, tried one by one.
func reached(c *raft.Configuration, value func(raft.PeerID) uint64) (best uint64) {
	for _, p := range c.Members() {
		v := value(p.ID)
		if v > best && quorum(c, func(id raft.PeerID) bool { return value(id) >= v }) {
			best = v
		}
	}
	return best
}

func TestAgreedBySimpleMajority(t *testing.T) {
	for n := 1; n <= 9; n++ {
		// One more member than voters: a learner, whose bit must never matter.
		c := raft.Configuration{Voters: peers(1<<n - 1), Learners: peers(1 << n)}
		for set := uint(0); set < 1<<(n+1); set++ {
			has := func(id raft.PeerID) bool { return set>>number(id)&1 == 1 }
			require.Equal(t, quorum(&c, has), ballotbox.Agreed(&c, has), "%d voters, set %b", n, set)
		}
	}
}

// eachJoint calls f for every pair of voters and outgoing voters out of four members, which four
// bits each tell, the fifth member being a learner.
func eachJoint(f func(c *raft.Configuration)) {
	for voters := uint(1); voters < 16; voters++ {
		for outgoing := uint(0); outgoing < 16; outgoing++ {
			f(&raft.Configuration{
				Voters: peers(voters), Outgoing: peers(outgoing), Learners: peers(1 << 4),
			})
		}
	}
}

func TestAgreedWhileJoint(t *testing.T) {
	eachJoint(func(c *raft.Configuration) {
		for set := uint(0); set < 32; set++ {
			has := func(id raft.PeerID) bool { return set>>number(id)&1 == 1 }
			require.Equal(t, quorum(c, has), ballotbox.Agreed(c, has), "%v, set %b", c, set)
		}
	})
}

func TestReachedWhileJoint(t *testing.T) {
	eachJoint(func(c *raft.Configuration) {
		for code := range 3 * 3 * 3 * 3 * 3 { // every member has 0, 1 or 2
			value := func(id raft.PeerID) uint64 {
				digit := code
				for range number(id) {
					digit /= 3
				}
				return uint64(digit % 3)
			}
			require.Equal(t, reached(c, value), ballotbox.Reached(c, value), "%v, code %d", c, code)
		}
	})
}

func TestReachedEqualsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := raft.Configuration{
			Voters:   peers(rapid.UintRange(1, 1<<len(ids)-1).Draw(t, "voters")),
			Outgoing: peers(rapid.UintRange(0, 1<<len(ids)-1).Draw(t, "outgoing")),
		}
		values := rapid.SliceOfN(rapid.Uint64Range(0, 20), len(ids), len(ids)).Draw(t, "values")
		value := func(id raft.PeerID) uint64 { return values[number(id)] }
		require.Equal(t, reached(&c, value), ballotbox.Reached(&c, value))
	})
}

func TestNobodyDecidesWithoutVoters(t *testing.T) {
	var none raft.Configuration
	all := func(raft.PeerID) bool { return true }
	require.False(t, ballotbox.Agreed(&none, all))
	learners := raft.Configuration{Learners: peers(7)}
	require.False(t, ballotbox.Agreed(&learners, all))
	onlyOld := raft.Configuration{Outgoing: peers(7)}
	require.False(t, ballotbox.Agreed(&onlyOld, all))
}

func TestCountingAllocatesNothing(t *testing.T) {
	c := raft.Configuration{Voters: peers(1<<9 - 1), Outgoing: peers(1<<9 - 1)}
	var box ballotbox.Box
	var ballot ballotbox.Ballot
	var rounds ballotbox.Rounds
	for _, id := range ids {
		ballot.Record(id, true)
		rounds.Ack(id, 1)
	}
	box.Lead(1)
	at := raft.Index(0)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		at++
		box.Count(&c, func(id raft.PeerID) raft.Index { return at + raft.Index(number(id)) })
		ballot.Won(&c)
		rounds.Ack("a", uint64(at))
		rounds.Answered(&c, "b", uint64(at))
	}))
	require.NotZero(t, box.Commit())
}

// TestBallot goes through all answers of all voters of the small configurations: none, granted,
// refused, each of which may be repeated and contradicted later.
func TestBallot(t *testing.T) {
	eachJoint(func(c *raft.Configuration) {
		for code := range 3 * 3 * 3 * 3 * 3 {
			var b ballotbox.Ballot
			answers := map[raft.PeerID]int{}
			digits := code
			for _, id := range ids[:5] {
				answers[id] = digits % 3
				digits /= 3
			}
			for round := range 2 { // the second answer contradicts, and must not count
				for id, a := range answers {
					if a > 0 {
						b.Record(id, (a == 1) == (round == 0))
					}
				}
			}
			granted := func(id raft.PeerID) bool { return answers[id] == 1 }
			require.Equal(t, quorum(c, granted), b.Won(c), "%v, answers %v", c, answers)
		}
	})
}

func TestBallotReset(t *testing.T) {
	c := raft.Configuration{Voters: peers(1)}
	var b ballotbox.Ballot
	b.Record("a", false)
	b.Record("a", true)
	require.False(t, b.Won(&c), "the first answer stands")
	b.Reset()
	b.Record("a", true)
	require.True(t, b.Won(&c))
	b.Reset()
	require.False(t, b.Won(&c))
}

func matching(match ...raft.Index) func(raft.PeerID) raft.Index {
	return func(id raft.PeerID) raft.Index { return match[number(id)] }
}

// TestFigure8 is the case of the paper's Figure 8: entry 2 of an earlier term is on a majority, and
// may yet be overwritten. Only with entry 4 of the leader's own term it is committed.
func TestFigure8(t *testing.T) {
	c := raft.Configuration{Voters: peers(1<<5 - 1)}
	var b ballotbox.Box
	b.Learn(1)
	b.Lead(4)
	require.False(t, b.Count(&c, matching(4, 3, 2, 1, 1)))
	require.Equal(t, raft.Index(1), b.Commit())
	require.False(t, b.Count(&c, matching(4, 3, 3, 3, 3)), "all of an earlier term, on all members")
	require.Equal(t, raft.Index(1), b.Commit())
	require.False(t, b.OwnTermCommitted())
	require.True(t, b.Count(&c, matching(4, 4, 4, 1, 1)))
	require.Equal(t, raft.Index(4), b.Commit())
	require.True(t, b.OwnTermCommitted())
}

func TestOnlyLeadersCount(t *testing.T) {
	c := raft.Configuration{Voters: peers(7)}
	var b ballotbox.Box
	require.False(t, b.Count(&c, matching(9, 9, 9)), "never led")
	b.Lead(1)
	require.True(t, b.Count(&c, matching(9, 5, 0)))
	b.Retire()
	require.False(t, b.OwnTermCommitted(), "leads no more")
	require.False(t, b.Count(&c, matching(9, 9, 9)))
	require.Equal(t, raft.Index(5), b.Commit())
}

// TestBox drives a box at random beside the plain rules of the paper.
func TestBox(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b ballotbox.Box
		commit, own := raft.Index(0), raft.Index(0)
		index := rapid.Map(rapid.Uint64Range(0, 12), func(u uint64) raft.Index { return raft.Index(u) })
		t.Repeat(map[string]func(*rapid.T){
			"lead": func(t *rapid.T) {
				own = commit + 1 + index.Draw(t, "beyond")
				b.Lead(own)
			},
			"retire": func(*rapid.T) {
				own = 0
				b.Retire()
			},
			"learn": func(t *rapid.T) {
				i := index.Draw(t, "index")
				require.Equal(t, i > commit, b.Learn(i))
				commit = max(commit, i)
			},
			"count": func(t *rapid.T) {
				c := raft.Configuration{
					Voters:   peers(rapid.UintRange(1, 31).Draw(t, "voters")),
					Outgoing: peers(rapid.UintRange(0, 31).Draw(t, "outgoing")),
				}
				match := rapid.SliceOfN(index, 5, 5).Draw(t, "match")
				held := raft.Index(reached(&c, func(id raft.PeerID) uint64 {
					return uint64(match[number(id)])
				}))
				rises := own != 0 && held >= own && held > commit
				require.Equal(t, rises, b.Count(&c, matching(match...)))
				if rises {
					commit = held
				}
			},
			"": func(t *rapid.T) {
				require.Equal(t, commit, b.Commit())
				require.Equal(t, own != 0 && commit >= own, b.OwnTermCommitted())
			},
		})
	})
}

func TestRounds(t *testing.T) {
	c := raft.Configuration{Voters: peers(7), Learners: peers(8)}
	var r ballotbox.Rounds
	require.Zero(t, r.Answered(&c, "a", 50), "only itself")
	r.Ack("d", 50)
	require.Zero(t, r.Answered(&c, "a", 50), "a learner proves nothing")
	r.Ack("b", 40)
	require.Equal(t, uint64(40), r.Answered(&c, "a", 50))
	r.Ack("b", 30)
	require.Equal(t, uint64(40), r.Answered(&c, "a", 50), "a late answer")
	r.Ack("c", 45)
	require.Equal(t, uint64(45), r.Answered(&c, "a", 50))
	r.Ack("b", 60)
	require.Equal(t, uint64(50), r.Answered(&c, "a", 50), "no quorum is ahead of itself")
	require.Equal(t, uint64(45), r.Answered(&c, "x", 50), "a leader without a vote")
	joint := raft.Configuration{Voters: peers(7), Outgoing: peers(1 | 8 | 16)}
	r.Ack("d", 20)
	require.Equal(t, uint64(50), r.Answered(&joint, "a", 50), "d answered round 50 before")
	r.Reset()
	require.Zero(t, r.Answered(&c, "a", 50))
}

func ExampleReached() {
	c := raft.Configuration{Voters: []raft.Peer{{ID: "a"}, {ID: "b"}, {ID: "c"}}}
	durable := map[raft.PeerID]raft.Index{"a": 9, "b": 7, "c": 3}
	fmt.Println(ballotbox.Reached(&c, func(id raft.PeerID) raft.Index { return durable[id] }))
	// Output: 7
}

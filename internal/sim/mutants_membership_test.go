package sim

import "slices"

// memberMutants are defects of membership changes, transfers and suspicion, which chance finds.
var memberMutants = []mutant{
	{"two voters are changed in a single phase", "internal/core/change.go", [][2]string{
		{"joint.Outgoing = slices.Clone(conf.Voters)", ""},
		{"invariant.Check(before.Joint() != next.Joint() || before.SameVoters(&next),",
			"invariant.Check(true,"}}},
	{"a configuration before an entry of the own term is committed", "internal/core/change.go",
		[][2]string{
			{"!c.box.OwnTermCommitted() || conf.Index > c.box.Commit() {",
				"c.box.OwnTermCommitted() && conf.Index > c.box.Commit() {"},
			{"invariant.Check(c.role == Leader && c.box.OwnTermCommitted(),",
				"invariant.Check(c.role == Leader,"},
			{"invariant.Check(before.Index <= c.box.Commit(), \"one",
				"invariant.Check(true, \"one"}}},
	{"a configuration before the last one is committed", "internal/core/change.go", [][2]string{
		{"!c.box.OwnTermCommitted() || conf.Index > c.box.Commit() {", "!c.box.OwnTermCommitted() {"},
		{"invariant.Check(before.Index <= c.box.Commit(), \"one", "invariant.Check(true, \"one"}}},
	{"while joint, a majority of the union commits", "ballotbox/box.go", [][2]string{
		{"held := Reached(c, match)", "u := raft.Configuration{}\n" + union +
			"held := Reached(&u, match)"}}},
	{"while joint, a majority of the union elects", "ballotbox/ballot.go", [][2]string{
		{"\treturn Agreed(c, func", "u := raft.Configuration{}\n" + union + "\treturn Agreed(&u, func"}}},
	{"while joint, the new voters alone commit", "ballotbox/box.go", [][2]string{
		{"held := Reached(c, match)", "held := majorityReached(c.Voters, match)"}}},
	{"a learner counts when entries are committed", "ballotbox/box.go", [][2]string{
		{"held := Reached(c, match)",
			"u := c.Clone()\nu.Voters = append(u.Voters, u.Learners...)\nheld := Reached(&u, match)"}}},
	{"leadership goes to one that lags", "internal/core/transfer.go", [][2]string{
		{"p.Match < last || c.box.Commit() < last {", "c.box.Commit() < last {"},
		{"invariant.Check(p.Match == c.tail.Last().Index, \"leadership",
			"invariant.Check(true, \"leadership"}}},
	{"commands are taken during a transfer", "internal/core/propose.go", [][2]string{
		{"case c.transfer.to != \"\":", "case false:"}}},
	{"a pre-vote is given although the leader is heard", "internal/core/election.go", [][2]string{
		{"granted := m.Term > c.term() && !c.hearsLeader() &&", "granted := m.Term > c.term() &&"}}},
	{"who suspects its leader campaigns and asks nobody", "internal/core/suspect.go", [][2]string{
		{"\tc.requestPreVotes()", "\tc.situate(PreCandidate, \"\", nil)\n\tc.campaign(false)"}}},
	{"a new leader leaves no joint configuration", "internal/core/change.go", [][2]string{
		{"if conf.Joint() {\n\t\tnext", "if conf.Joint() && c.change != nil {\n\t\tnext"}}},
	{"a leader that is removed leads on", "internal/core/change.go", [][2]string{
		{"if !c.votes() && c.transfer.until == 0 {", "if false {"}}},
	{"a change that was withdrawn goes on", "internal/core/change.go", [][2]string{
		{"if len(ch.ids) == 0 && !ch.appended {\n\t\tc.change = nil",
			"if len(ch.ids) == 0 && !ch.appended {\n\t\tch.ids = nil"}}},
	{"nothing came of a change that was appended", "internal/core/change.go", [][2]string{
		{"Err: raft.ErrLeadershipLost, Unknown: ch.appended}", "Err: raft.ErrLeadershipLost}"}}},
	{"leadership does not go to a higher priority", "internal/core/role.go", [][2]string{
		{"\t\tc.yield()\n", ""}}},
	{"who leaves is written to for ever", "internal/core/change.go", [][2]string{
		{"return c.now >= l.until })", "return c.now >= l.until+1<<40 })"}}},
	{"a learner campaigns", "internal/core/priority.go", [][2]string{
		{"return conf.IsVoter(c.o.ID) && (p.Priority", "return p.ID != \"\" && (p.Priority"}}},
}

// union makes u the configuration of which a majority of all voters decides, old or new.
const union = `for _, p := range c.Members() {
		if c.IsVoter(p.ID) {
			u.Voters = append(u.Voters, p)
		}
	}
	`

// memberScripted are those that a scenario finds.
var memberScripted = []mutant{
	{"a truncation does not undo a configuration", "logmanager/tail.go", [][2]string{
		{"n > 0 && t.configurations[n-1].Index >= i; n-- {", "n > len(t.configurations); n-- {"}}},
	{"a vote is given although the leader is heard", "internal/core/election.go", [][2]string{
		{"if c.hearsLeader() && !b.Transfer {", "if false {"}}},
	{"a voter refuses the candidate that its leader asked to campaign", "internal/core/election.go",
		[][2]string{{"if c.hearsLeader() && !b.Transfer {", "if c.hearsLeader() {"}}},
	{"a follower drops the leader that it suspects", "internal/core/suspect.go", [][2]string{
		{"\tc.suspect = suspicion{broken: true}\n", "\tc.situate(Follower, \"\", nil)\n" +
			"\tc.suspect = suspicion{broken: true}\n"}}},
	{"who leaves is not told", "internal/core/change.go", [][2]string{
		{"c.leavers = append(c.leavers, leaver{peer: p})", ""}}},
	{"new voters need not catch up", "internal/core/change.go", [][2]string{
		{"case c.caughtUp():", "case true:"}}},
	{"a new voter may be without a configuration", "internal/core/change.go", [][2]string{
		{"p.Match >= c.configuration().Index &&\n", "p.Match >= 0 &&\n"}}},
	{"who is needed does not campaign because it is removed", "internal/core/priority.go",
		[][2]string{{"return c.mayLead(conf) || c.mayLead(was)", "return c.mayLead(conf)"}}},
	{"the peers are reset in a term that others may have used", "internal/core/reset.go",
		[][2]string{{"skip := raft.Term(1 + c.rand.Uint64N(resetSkip))", "skip := raft.Term(0)"}}},
	{"the peers are reset although the leader is heard", "internal/core/reset.go", [][2]string{
		{"if c.heardLately() {", "if false {"}}},
	{"a reset of the peers gives up what is not known to be committed", "internal/core/reset.go",
		[][2]string{{"\tc.stopPull()", "\tif i := c.box.Commit() + 1; i <= c.tail.Last().Index {\n" +
			"\t\tc.tail.Truncate(i)\n\t}\n\tc.stopPull()"}}},
	{"a broken stream raises no suspicion", "internal/core/suspect.go", [][2]string{
		{"c.suspect.askAt = c.now + c.turn() + 1", ""}}},
}

func everyMutant() []mutant {
	return slices.Concat(mutants, memberMutants, scripted, memberScripted)
}

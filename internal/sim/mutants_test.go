package sim

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var mutantsFlag = flag.String("mutants", "first",
	"which mutants TestMutants runs: first (the seven of the design), "+
		"all, or the name of one")

// mutant is one deliberate defect: in file, the exact text old, which occurs once, becomes new.
type mutant struct {
	name string
	file string // from the root of the module
	edit [][2]string
}

// mutants are defects that must be found within mutantSeeds. The first seven are those of the
// design.
var mutants = []mutant{
	{"promises released before their write", "internal/core/promise.go", [][2]string{
		{"if seq <= c.tail.WrittenSeq() {\n\t\tc.send(to, body)", "if true {\n\t\tc.send(to, body)"}}},
	{"the durable mark is not lowered by a truncation", "logmanager/tail.go", [][2]string{
		{"t.marks[m].agrees = min(t.marks[m].agrees, i)", "_ = m"}}},
	{"a vote without looking at the log", "internal/core/election.go", [][2]string{
		{"if !given && (!free || c.outdated(b.Last)) {", "if !given && !free {"},
		{"!c.hearsLeader() && !c.outdated(b.Last)", "!c.hearsLeader()"}}},
	{"an entry of an old term is committed by counting", "ballotbox/box.go", [][2]string{
		{"if held < b.own || held <= b.commit {", "if held <= b.commit {"}}},
	{"term and vote are not persisted", "logmanager/tail_write.go", [][2]string{
		{"if t.hardChanged {", "if false {"}}},
	{"a read is served without a round", "internal/core/read.go", [][2]string{
		{"r.inRound[done].round <= answered {", "r.inRound[done].round <= c.round {"}}},
	{"the leader counts its own entry before it is written", "internal/core/replicate.go", [][2]string{
		{"return c.tail.Durable()", "return c.tail.Last().Index"}}},

	{"an acknowledgement names the last entry", "internal/core/append.go", [][2]string{
		{"&raft.AppendEntriesReply{Match: proven,",
			"&raft.AppendEntriesReply{Match: c.tail.Last().Index,"}}},
	{"answers of an old term are accepted", "internal/core/receive.go", [][2]string{
		{"if m.Term < c.term() {", "if false {"}}},
	{"a matching suffix is truncated", "internal/core/append.go", [][2]string{
		{"if term != e.Term {", "if term != e.Term || e.Index > c.box.Commit() {"}}},
	{"the entry before is not compared", "internal/core/append.go", [][2]string{
		{"!ok || term != b.Prev.Term {", "!ok && term != b.Prev.Term {"}}},
	{"a quorum is one too small", "ballotbox/quorum.go", [][2]string{
		{"return sorted[len(voters)/2]", "return sorted[max(len(voters)/2, 1)-1]"}}},
	{"a new leader serves reads before it has committed", "ballotbox/box.go", [][2]string{
		{"return b.own != 0 && b.commit >= b.own", "return b.own != 0"}}},
	{"a leader that sees a higher term does not step down", "internal/core/receive.go", [][2]string{
		{"if m.Term > c.term() {", "if m.Term > c.term() && c.role != Leader {"}}},
	{"a repeated batch of forwarded commands is taken again", "internal/core/forward.go", [][2]string{
		{"case at >= 0 && b.Seq == seen[at].reply.Seq:", "case false:"}}},
	{"an old batch of forwarded commands is taken again", "internal/core/forward.go", [][2]string{
		{"case at >= 0 && b.Seq < seen[at].reply.Seq:", "case false:"}}},
	{"a forwarded command without an answer counts as not appended", "internal/core/forward.go",
		[][2]string{
			{"Err: raft.ErrLeadershipLost, Unknown: true}", "Err: raft.ErrLeadershipLost}"}}},
	{"a vote is given twice in a term", "internal/core/election.go", [][2]string{
		{"free := m.Term == hard.Term && hard.Vote == \"\" && c.leader == \"\"",
			"free := m.Term == hard.Term && c.leader == \"\""},
		{"if hard.Vote == \"\" {", "if true {"}}},
	{"the store does not sync", "logmanager/segment_write.go", [][2]string{
		{"if err := seg.file.SyncData(); err != nil {", "if err := error(nil); err != nil {"}}},
	{"the store forgets truncations", "logmanager/segment_write.go", [][2]string{
		{"s.buf = appendTruncate(s.buf, from)\n\ts.open.records++", ""}}},
	{"entries after a new segment are not shown", "logmanager/segment_write.go", [][2]string{
		{"\tif !g.dirty {\n\t\tg.dirty = true",
			"\tif !g.dirty && s.end > segmentHead {\n\t\tg.dirty = true"}}},
	{"a lost message is not repeated", "replicator/progress.go", [][2]string{
		{"if received >= p.Next-1 || now-p.movedAt < p.patience {", "if true {"}}},
	{"the configuration of a snapshot is of an earlier cut", "fsm/applier.go", [][2]string{
		{"\ta.members = c\n",
			"\tif a.members.Index == 0 || c.Index%2 == 0 {\n\t\ta.members = c\n\t}\n"}}},
	{"a snapshot's last entry is off by one", "fsm/snapshot.go", [][2]string{
		{"return Cut{a.applied,",
			"return Cut{raft.LogID{Term: a.applied.Term, Index: a.applied.Index - 1},"}}},
	{"the log is reset before the snapshot is published", "internal/core/snapshot.go", [][2]string{
		{"\t\tc.out.Pull = &pull\n\t}\n", "\t\tc.out.Pull = &pull\n\t\tc.tail.Reset(b.Meta)\n\t}\n"}}},
	{"the name of a snapshot is not synced", "snapshot/publish.go", [][2]string{
		{"failed(\"publish \"+target, err)\n\t}\n\tif err := f.files.SyncDir(f.dir); err != nil {",
			"failed(\"publish \"+target, err)\n\t}\n\tif err := error(nil); err != nil {"}}},
	{"the log is compacted beyond the snapshot", "internal/core/snapshot.go", [][2]string{
		{"to := min(c.snapshot.Last.Index, c.tail.Durable(), c.applied)",
			"to := min(c.tail.Durable(), c.applied)"}}},
	{"the chunks of a snapshot are not checked", "snapshot/manifest.go", [][2]string{
		{" && raft.Checksum(p) == binary.LittleEndian.Uint32(e.Chunks[4*i:])", ""}}},
	{"a snapshot that was fetched is not restored", "internal/core/snapshot.go", [][2]string{
		{"\tc.out.Restore = &restore\n", "\t_ = restore\n"}}},
	{"an installed snapshot is answered before the log is durable", "internal/core/snapshot.go",
		[][2]string{
			{"if match <= c.durableInTerm() {\n\t\tc.send(to, reply)", "if true {\n\t\tc.send(to, reply)"}}},
	{"the store forgets resets", "logmanager/segment_write.go", [][2]string{
		{"s.buf = appendReset(s.buf, id)\n\ts.open.records++", ""}}},
	{"a snapshot is taken while a backup is staged", "fsm/snapshot.go", [][2]string{
		{"case a.staging.backup != nil:", "case false:"}}},
	{"the content of a backup is not verified", "snapshot/staged.go", [][2]string{
		{"if err := s.store.contents(k, func([]byte) error { return nil }); err != nil {",
			"if err := error(nil); err != nil {"}}},
	{"a piece of a backup that comes again is staged again", "fsm/restore.go", [][2]string{
		{"case c.Number < s.next:", "case false:"}}},
	{"reads of a group of one wait for an answer", "internal/core/read.go", [][2]string{
		{"c.confirmReads() // a group of one", "// a group of one"}}},
}

// scripted are defects that chance hides: the rest of the protocol makes up for them, or leaves
// them a window too small to be met in a few hundred seeds. A scenario finds each.
var scripted = []mutant{
	{"a vote that is repeated counts again", "ballotbox/ballot.go", [][2]string{
		{"if slices.Contains(b.granted, id) || slices.Contains(b.refused, id) {",
			"if slices.Contains(b.refused, id) {"},
		{"return Agreed(c, func(id raft.PeerID) bool { return slices.Contains(b.granted, id) })",
			"return len(b.granted) > len(c.Voters)/2"}}},
	{"a follower commits what was not verified", "internal/core/append.go", [][2]string{
		{"c.learnCommit(min(b.Commit, proven))", "c.box.Learn(min(b.Commit, c.tail.Last().Index))"}}},
	{"a snapshot replaces what is committed", "internal/core/snapshot.go", [][2]string{
		{"if meta.Last.Index <= c.box.Commit() {\n\t\tc.compact()", "if false {\n\t\tc.compact()"}}},
	{"what is to be applied is compacted", "internal/core/snapshot.go", [][2]string{
		{"to := min(c.snapshot.Last.Index, c.tail.Durable(), c.applied)",
			"to := min(c.snapshot.Last.Index, c.tail.Durable())"}}},
	{"the question what has arrived overtakes entries", "raft/message.go", [][2]string{
		{"case *AppendEntries, *Propose:\n\t\treturn true\n\t}\n\treturn false",
			"case *AppendEntries:\n\t\treturn len(m.Body.(*AppendEntries).Entries) > 0\n\t}\n" +
				"\t_, propose := m.Body.(*Propose)\n\treturn propose"}}},
	{"an answer to a heartbeat ends probing", "internal/core/heartbeat.go", [][2]string{
		{"if b.Match > p.Match && b.Match <=", "if b.Match <="}}},
	{"room never shrinks", "replicator/progress.go", [][2]string{
		{"p.room = min(p.room, p.limits.BatchBytes)", ""}}},
	{"room grows after a loss as before it", "replicator/progress.go", [][2]string{
		{"p.steady = max(p.bytes/2, p.limits.BatchBytes)", ""}}},
	{"a leader never gives up without a quorum", "internal/core/role.go", [][2]string{
		{"case c.now-quorumAt > c.o.ElectionTimeout:", "case c.now < quorumAt:"}}},
}

const (
	mutantSeeds = "500"
	mutantGuard = "SIM_RUNS_A_MUTANT" // in the inner run's environment: it must not start others
	firstOnes   = 7
)

// TestMutants proves that the simulator can fail: each defect is compiled in by an overlay,
// without a hook in the code, and must be found.
func TestMutants(t *testing.T) {
	if os.Getenv(mutantGuard) != "" || raceFactor > 1 {
		return // the inner run; or one under -race, which would only do again what the other does
	}
	list := mutants[:firstOnes]
	switch *mutantsFlag {
	case "first":
	case "all":
		list = everyMutant()
	default:
		list = nil
		for _, m := range everyMutant() {
			if m.name == *mutantsFlag {
				list = append(list, m)
			}
		}
		require.NotEmpty(t, list, "no mutant has that name")
	}
	turns := make(chan struct{}, 2)
	for _, m := range list {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			turns <- struct{}{}
			defer func() { <-turns }()
			m.mustBeFound(t)
		})
	}
}

var (
	whichInvariant = regexp.MustCompile(`INVARIANT: (.*)`)
	whichSeed      = regexp.MustCompile(`seed (\d+|of the scenario) at \S+ (.*)`)
)

func (m *mutant) mustBeFound(t *testing.T) {
	tests := "TestSeeds$"
	for _, s := range slices.Concat(scripted, memberScripted) {
		if s.name == m.name {
			tests = "TestScenario"
		}
	}
	cmd := exec.Command("go", "test", "-overlay", m.overlay(t), "-run", tests, "-count=1", ".",
		"-seeds", mutantSeeds, "-stop-at-first", "-shrink", "0")
	cmd.Env = append(os.Environ(), mutantGuard+"=1")
	out, err := cmd.CombinedOutput()
	require.Errorf(t, err, "mutant %q lives: no invariant broke in %s seeds\n%s", m.name,
		mutantSeeds, out)
	invariant, seed := whichInvariant.FindSubmatch(out), whichSeed.FindSubmatch(out)
	require.Truef(t, invariant != nil && seed != nil, "the mutant's run failed in another way:\n%s",
		out)
	t.Logf("found at seed %s by %s: %s", seed[1], invariant[1], seed[2])
}

// overlay writes the changed file and the overlay that puts it in the place of the real one.
func (m *mutant) overlay(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("..", "..", filepath.FromSlash(m.file)))
	require.NoError(t, err)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	changed := string(text)
	for _, e := range m.edit {
		require.Equalf(t, 1, strings.Count(changed, e[0]), "%s: the text to change must occur once: %s",
			m.file, e[0])
		changed = strings.Replace(changed, e[0], e[1], 1)
	}
	dir := t.TempDir()
	copied := filepath.Join(dir, filepath.Base(file))
	require.NoError(t, os.WriteFile(copied, []byte(changed), 0o600))
	config, err := json.Marshal(map[string]any{"Replace": map[string]string{file: copied}})
	require.NoError(t, err)
	overlay := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(overlay, config, 0o600))
	return overlay
}

// TestMutantsFit holds the table to the code, so that it can't rot: it is checked in whole
// whenever the tests run.
func TestMutantsFit(t *testing.T) {
	for _, m := range everyMutant() {
		m.overlay(t)
	}
}

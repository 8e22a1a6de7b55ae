package sim

import (
	"flag"
	"testing"
)

var (
	seedFlag = flag.Int64("seed", -1, "the one seed that TestSeed runs; with -v it prints every event")
)

func TestSeed(t *testing.T) {
	seed := uint64(max(*seedFlag, 0))
	cfg := Config{Seed: seed}
	if testing.Verbose() && *seedFlag >= 0 {
		cfg.Log = func(line string) { t.Log(line) }
	}
	r := Run(cfg)
	t.Logf("%+v", Draw(seed))
	if r.Failure != nil {
		t.Fatal(r.Failure)
	}
	r.Faults = nil
	t.Logf("%+v", r)
}

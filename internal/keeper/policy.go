package keeper

import (
	"fmt"

	"github.com/jraft-go/jraft/snapshot"
)

// CheckPolicy tells every problem, each with the field, its value and what is allowed.
func CheckPolicy(p snapshot.Policy, bad func(string, any, string)) {
	if p.Every < 0 {
		bad("Snapshot.Every", p.Every, "0 or more")
	}
	if p.Keep < 1 {
		bad("Snapshot.Keep", p.Keep, "at least 1")
	}
	if p.BytesPerSecond != 0 && p.BytesPerSecond < minBytesPerSecond {
		bad("Snapshot.BytesPerSecond", p.BytesPerSecond,
			fmt.Sprintf("at least %d, or negative for no bound", minBytesPerSecond))
	}
}

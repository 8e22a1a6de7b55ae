package tidy

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

const goldenList = "internal/tidy/golden.sum"

// goldenFiles wants every file below a testdata/v... directory in the list, unchanged, and every
// file of the list in the tree. What a released version wrote must be readable for ever: a golden
// file is never edited; a new format version brings new files.
func goldenFiles(t *tree) []string {
	var out []string
	listed := map[string]string{}
	for _, l := range strings.Split(t.texts[goldenList], "\n") {
		sum, p, ok := strings.Cut(l, "  ")
		if ok && !strings.HasPrefix(l, "#") {
			listed[p] = sum
		}
	}
	for _, p := range sorted(listed) {
		text, ok := t.texts[p]
		if !ok {
			out = append(out, p+": the golden file is missing; restore it")
		} else if sum := fmt.Sprintf("%x", sha256.Sum256([]byte(text))); sum != listed[p] {
			out = append(out, p+": the golden file was changed; restore it, and give a new format "+
				"version files of its own")
		}
	}
	for _, p := range sorted(t.texts) {
		if golden.MatchString(p) && listed[p] == "" {
			out = append(out, fmt.Sprintf("%s: a new golden file; add this line to %s:\n%x  %s",
				p, goldenList, sha256.Sum256([]byte(t.texts[p])), p))
		}
	}
	return out
}

func TestGoldenFiles(t *testing.T) {
	const file = "logmanager/testdata/v1/a.log"
	const sumOfA = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	list := "# a comment\n" + sumOfA + "  " + file + "\n"
	hold(t, goldenFiles,
		files{goldenList: list, file: "a", "logmanager/testdata/fuzz/b": "b"},
		files{goldenList: list, file: "b"},
		files{goldenList: list},
		files{goldenList: "", file: "a"},
		files{file: "a"},
	)
	if checkout().texts[goldenList] == "" {
		t.Error(goldenList + " is missing")
	}
}

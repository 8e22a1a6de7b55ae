package snapshot

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode"

	"github.com/jraft-go/jraft/raft"
)

// MaxNameBytes bounds the name of a file in a snapshot.
const MaxNameBytes = 255

// ValidName tells what is wrong with the name of a file in a snapshot, or returns nil: a relative
// path with slashes, without "." and ".." and empty parts, that leads nowhere but below a
// directory. The store never uses it as a path, but a state machine may, and it may come from
// another member. Whether it can be the name of a file on every system is the state machine's
// affair: some take A for a, and have no file called con.
func ValidName(name string) error {
	switch {
	case len(name) > MaxNameBytes:
		return fmt.Errorf("snapshot: file name %.80q... has %d bytes, at most %d are allowed", name,
			len(name), MaxNameBytes)
	case !fs.ValidPath(name) || name == ".":
		return fmt.Errorf("snapshot: file name %q is not relative, or has . or .. in it", name)
	case strings.ContainsAny(name, `\:`) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("snapshot: file name %q has a backslash, colon or control character", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.TrimRight(part, ". ") != part {
			return fmt.Errorf("snapshot: file name %q has a part that ends with a dot or space", name)
		}
	}
	return nil
}

// Names in the store's directory. Each but the lock is a directory with the files of one snapshot.
const (
	keptPrefix     = "snap-" // published
	newPrefix      = "new-"  // being written; removed at the next opening
	oldPrefix      = "old-"  // being removed; likewise
	receivedPrefix = "recv-" // being fetched
	lockName       = "LOCK"
	manifestName   = "manifest"
	copyName       = "copy" // of a file being fetched, see reception.detach
)

func suffix(last raft.LogID) string { return fmt.Sprintf("%020d-%010d", last.Index, last.Term) }

func keptName(last raft.LogID) string { return keptPrefix + suffix(last) }

// receivedName has the checksum of the manifest in it: what two members took of the same state need
// not be the same bytes.
func receivedName(last raft.LogID, sum uint32) string {
	return fmt.Sprintf("%s%s-%08x", receivedPrefix, suffix(last), sum)
}

// parseName returns the snapshot that a directory is named after; false: it is some other name.
func parseName(prefix, name string) (last raft.LogID, ok bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return last, false
	}
	if _, err := fmt.Sscanf(rest, "%d-%d", &last.Index, &last.Term); err != nil {
		return last, false
	}
	return last, strings.HasPrefix(rest, suffix(last))
}

// contentName is the name on disk of file i of a snapshot; file 0 is the stream. It is a number,
// because no name that comes from elsewhere may become a path here.
func contentName(i int) string {
	if i == 0 {
		return "state"
	}
	return fmt.Sprintf("file-%08d", i)
}

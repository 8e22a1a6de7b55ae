package logmanager

import (
	"sort"

	"github.com/jraft-go/jraft/raft"
)

// weights tell how many bytes a stretch of the log takes, to within weightStep, without asking the
// disk: a point for each weightStep of frames that was appended. What was on disk before this
// member started weighs nothing.
type weights struct {
	total  int64 // frames appended, less what was truncated
	points []weight
}

// weight is the total after the entry at index was appended.
type weight struct {
	index raft.Index
	total int64
}

const weightStep = 256 << 10

func (w *weights) add(e *raft.Entry) {
	w.total += int64(e.FrameBytes())
	if n := len(w.points); n == 0 || w.total-w.points[n-1].total >= weightStep {
		w.points = append(w.points, weight{e.Index, w.total})
	}
}

// truncate drops what the log loses when i and all after it are removed.
func (w *weights) truncate(i raft.Index) {
	n := sort.Search(len(w.points), func(n int) bool { return w.points[n].index >= i })
	if n < len(w.points) {
		w.total = w.points[n].total - weightStep // of what is left after the last point
	}
	w.points = w.points[:n]
	if n > 0 {
		w.total = max(w.total, w.points[n-1].total)
	}
}

// compact drops what the log loses when i and all before it are given up.
func (w *weights) compact(i raft.Index) {
	n := sort.Search(len(w.points), func(n int) bool { return w.points[n].index > i })
	w.points = append([]weight(nil), w.points[n:]...)
}

// Trailing returns the highest index such that the entries after it, up to the last at or below i,
// take at least so many bytes; 0 if all that are known take less.
func (t *Tail) Trailing(i raft.Index, bytes int64) raft.Index {
	points := t.weights.points
	n := sort.Search(len(points), func(n int) bool { return points[n].index > i })
	if n == 0 {
		return 0
	}
	upto := points[n-1].total
	n = sort.Search(n, func(n int) bool { return points[n].total > upto-bytes })
	if n == 0 {
		return 0
	}
	return points[n-1].index
}

package logmanager

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// list returns the numbers of the segments, which must have no gap, and removes spares. Whether the
// first one is the right one is for those to say who know what the snapshots cover.
func (s *Segments) list() (numbers []uint64, err error) {
	names, err := s.files.List(s.dir)
	if err != nil {
		return nil, storageError("list "+s.dir, err)
	}
	var first uint64 // the number of the first segment; 0: nothing says which it is
	for _, name := range names {
		if number, ok := parseSegmentName(name, segmentSuffix); ok {
			numbers = append(numbers, number)
		}
		if number, ok := parseSegmentName(name, retiredSuffix); ok {
			first = max(first, number+1)
		}
		if strings.HasPrefix(name, segmentPrefix) && strings.HasSuffix(name, spareSuffix) {
			if err := s.files.Remove(path.Join(s.dir, name)); err != nil {
				return nil, storageError("remove a spare", err)
			}
		}
	}
	slices.Sort(numbers)
	if first > 0 {
		s.retireAgain(names, first)
		numbers = slices.DeleteFunc(numbers, func(number uint64) bool { return number < first })
		if len(numbers) == 0 {
			return nil, s.missing(first)
		}
	} else if len(numbers) > 0 {
		first = numbers[0]
	}
	for i, number := range numbers {
		if want := first + uint64(i); number != want {
			return nil, s.missing(want)
		}
	}
	return numbers, nil
}

func (s *Segments) missing(number uint64) error {
	name := path.Join(s.dir, segmentName(number)+segmentSuffix)
	return corrupt(name, 0, "the file is missing, others of the log are there")
}

// retireAgain takes up the removal of the segments before the first one, which was interrupted.
// Nothing is removed before the rest was found to be right.
func (s *Segments) retireAgain(names []string, first uint64) {
	var list []*segment
	for _, name := range names {
		number, ok := parseSegmentName(name, segmentSuffix)
		if !ok {
			number, ok = parseSegmentName(name, retiredSuffix)
		}
		if ok && number < first {
			list = append(list, &segment{number: number, name: path.Join(s.dir, name), closed: true})
		}
	}
	slices.SortFunc(list, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	s.retired.add(list)
}

package swarm

import "fmt"

// Fault names one fault of a run: the n-th that a class fired at one source (a link, a disk, a
// member). It happens again in every run of the seed, whatever other faults are suppressed, as
// long as the run is still the same by then; that is what makes shrinking work (reliability
// report 5.5).
type Fault struct {
	Class   Class
	Source  int
	Ordinal uint32
}

// String is the fault as the -only flag takes it.
func (f Fault) String() string { return fmt.Sprintf("%s/%d/%d", f.Class, f.Source, f.Ordinal) }

// ParseFault reads what [Fault.String] wrote.
func ParseFault(s string) (Fault, error) {
	for c := range Classes {
		var f Fault
		if n, _ := fmt.Sscanf(s, c.String()+"/%d/%d", &f.Source, &f.Ordinal); n == 2 {
			f.Class = c
			return f, nil
		}
	}
	return Fault{}, fmt.Errorf("fault %q: need class/source/ordinal", s)
}

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// view tells what happens. On a terminal it keeps a block at the bottom up to date, below a
// list of events; elsewhere it only appends lines: one per event, and one per second of load.
type view struct {
	out   io.Writer
	live  bool
	color bool

	mu     sync.Mutex
	source func() frame // nil: no block
	drawn  int          // lines of the block that are on the screen
}

// frame is what the block shows.
type frame struct {
	Members []memberState
	Rate    rate
}

const columns = 80

// newView returns a view that writes to f. It is animated only if f is a terminal.
func newView(f *os.File) *view {
	info, err := f.Stat()
	live := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return &view{out: f, live: live, color: live && os.Getenv("NO_COLOR") == ""}
}

// print appends one line, above the block.
func (v *view) print(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.write(fmt.Sprintf(format, args...) + "\n")
}

// event appends one line with the time.
func (v *view) event(at time.Duration, format string, args ...any) {
	v.print("%s  %s", clock(at), fmt.Sprintf(format, args...))
}

// write puts text where the block is, and the block below it; v.mu is held.
func (v *view) write(text string) {
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", v.drawn) // up, and clear from there on
	}
	b.WriteString(text)
	v.drawn = 0
	if v.live && v.source != nil {
		for _, line := range v.source().block(v.color) {
			b.WriteString(line + "\n")
			v.drawn++
		}
	}
	_, _ = io.WriteString(v.out, b.String()) // nobody to tell: this is where errors would be told
}

// follow shows source until ctx ends: as the block, or as a line every second.
func (v *view) follow(ctx context.Context, source func() frame) {
	every := time.Second
	if v.live {
		every = 100 * time.Millisecond
		v.mu.Lock()
		v.source = source
		v.mu.Unlock()
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			v.mu.Lock()
			defer v.mu.Unlock()
			if v.live {
				v.source = nil
				v.write(source().line() + "\n")
			}
			return
		}
		v.mu.Lock()
		if v.live {
			v.write("")
		} else {
			v.write(source().line() + "\n")
		}
		v.mu.Unlock()
	}
}

// block draws the members and the load.
func (f frame) block(color bool) []string {
	lines := append([]string{""}, f.members(color)...)
	lines = append(lines, "", f.line())
	const head, foot = "  |", "|"
	return append(lines, head+spark(f.Rate.Bars, columns-len(head)-len(foot))+foot)
}

func (f frame) members(color bool) (lines []string) {
	for _, m := range f.Members {
		line := memberLine(m)
		if m.Alive {
			line = fmt.Sprintf("%-58s applied %9s", line, commas(int(m.Applied)))
		}
		switch {
		case !m.Alive:
			line = paint(color, red, line)
		case m.Role == roleLeader:
			line = paint(color, green, line)
		}
		lines = append(lines, line)
	}
	return lines
}

func memberLine(m memberState) string {
	role := m.Role
	switch {
	case !m.Alive:
		return fmt.Sprintf("  %-3s pid %-7d  %-16s killed", m.ID, m.PID, m.Addr)
	case role == "":
		role = "starting"
	case m.Removed:
		role = "removed"
	case !m.Configuration.Includes(m.ID):
		role = "joining"
	case role == roleLeader:
		role = "LEADER"
	}
	return fmt.Sprintf("  %-3s pid %-7d  %-16s %-13s term %d", m.ID, m.PID, m.Addr, role, m.Term)
}

// line tells the load in one line.
func (f frame) line() string {
	r := f.Rate
	if _, ok := leader(f.Members); !ok || r.Silent > time.Second {
		return fmt.Sprintf("%s  %9s acked   nobody has answered for %s",
			clock(r.Elapsed), commas(r.Acked), millis(r.Silent))
	}
	return fmt.Sprintf("%s  %9s acked %7s/s   p50 %9s   p99 %9s",
		clock(r.Elapsed), commas(r.Acked), commas(r.Recently), millis(r.P50), millis(r.P99))
}

// spark draws the newest values as bars, scaled to the largest of them.
func spark(values []int, width int) string {
	values = values[max(0, len(values)-width):]
	top := 1
	for _, n := range values {
		top = max(top, n)
	}
	var b strings.Builder
	for _, n := range values {
		steps := []rune(" ▁▂▃▄▅▆▇█")
		b.WriteRune(steps[(n*(len(steps)-1)+top-1)/top]) // rounded up: only nothing looks like nothing
	}
	return b.String() + strings.Repeat(" ", width-len(values))
}

// The colours, as terminals number them.
const (
	red   = 31
	green = 32
)

func paint(color bool, code int, s string) string {
	if !color {
		return s
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, s)
}

func clock(at time.Duration) string { return fmt.Sprintf("  %5.1fs", at.Seconds()) }

func millis(d time.Duration) string {
	if d >= 100*time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// commas writes a number that is not negative in groups of three digits.
func commas(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

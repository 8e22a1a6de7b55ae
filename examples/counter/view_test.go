package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/examples/counter/service"
)

func exampleFrame() frame {
	known := service.Configuration{Members: []service.Part{{ID: "n1"}, {ID: "n2"}, {ID: "n3"}}}
	says := func(role string, term, applied uint64) service.Status {
		return service.Status{Role: role, Term: term, Applied: applied, Configuration: known}
	}
	removed := says("learner", 2, 12007)
	removed.Removed = true
	return frame{
		Members: []memberState{
			{"n1", "127.0.0.1:31999", 4120799, true, says("pre-candidate", 112, 1234567)},
			{"n2", "127.0.0.1:7102", 41208, false, says(roleLeader, 9, 0)},
			{"n3", "127.0.0.1:7103", 41209, true, says(roleLeader, 2, 12907)},
			{"n4", "127.0.0.1:7104", 41210, true, service.Status{}},
			{"n5", "127.0.0.1:7105", 41211, true, says("learner", 2, 0)},
			{"n6", "127.0.0.1:7106", 41212, true, removed},
		},
		Rate: rate{
			Elapsed: 123 * time.Second, Acked: 1234567, Recently: 12345, P50: 1600 * time.Microsecond,
			P99: 1218 * time.Millisecond, Bars: []int{0, 1, 50, 100},
		},
	}
}

func TestViewInAFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer f.Close()
	v := newView(f)
	require.False(t, v.live)
	ctx, cancel := context.WithCancel(t.Context())
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		v.follow(ctx, func() frame { defer cancel(); return exampleFrame() })
	}()
	v.event(2200*time.Millisecond, "kill -9 %d: leader %s is gone", 41208, "n2")
	<-shown
	data, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	require.Equal(t, "    2.2s  kill -9 41208: leader n2 is gone\n"+
		"  123.0s  1,234,567 acked  12,345/s   p50    1.6 ms   p99   1218 ms\n", string(data))
}

func TestViewOnATerminal(t *testing.T) {
	var out strings.Builder
	v := &view{out: &out, live: true, color: true, source: exampleFrame}
	v.print("one")
	height := len(exampleFrame().block(true))
	require.Equal(t, "one\n"+strings.Join(exampleFrame().block(true), "\n")+"\n", out.String())
	out.Reset()
	v.print("two")
	up := "\x1b[" + commas(height) + "A"
	require.Contains(t, out.String(), "n4  pid 41210    127.0.0.1:7104   starting")
	require.Contains(t, out.String(), "n5  pid 41211    127.0.0.1:7105   joining")
	require.Contains(t, out.String(), "n6  pid 41212    127.0.0.1:7106   removed")
	require.True(t, strings.HasPrefix(out.String(), up+"\x1b[Jtwo\n"), "drawn in place")
	require.Contains(t, out.String(), "\x1b[31m  n2")
}

func TestBlockFitsTheScreen(t *testing.T) {
	for _, line := range exampleFrame().block(false) {
		require.LessOrEqual(t, utf8.RuneCountInString(line), columns, line)
		require.NotContains(t, line, "\x1b")
	}
	silent := exampleFrame()
	silent.Members = nil
	require.Contains(t, silent.line(), "nobody has answered")
}

func TestFormats(t *testing.T) {
	require.Equal(t, "0 999 1,000 1,234,567", strings.Join(
		[]string{commas(0), commas(999), commas(1000), commas(1234567)}, " "))
	require.Equal(t, " ▁▄█  ", spark([]int{0, 1, 50, 100}, 6))
	require.Equal(t, "▄█", spark([]int{900, 1, 50, 100}, 2), "the newest, by their own scale")
	require.Equal(t, "  ", spark(nil, 2))
}

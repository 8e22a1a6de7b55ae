package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain makes the test's own binary what bench starts its processes from.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == memberCommand || os.Args[1] == echoCommand) {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTheWholeToolMeasuresAllSystems(t *testing.T) {
	dir, lines := t.TempDir(), filepath.Join(t.TempDir(), "lines")
	profile := filepath.Join(t.TempDir(), "cpu")
	var out bytes.Buffer
	require.NoError(t, run([]string{
		"-cells", "128x1,16384x64,r4,m128x4", "-rounds", "2", "-time", "200ms", "-warm", "50ms",
		"-dir", dir, "-json", lines, "-cpuprofile", profile, "-memprofile", profile + ".mem",
	}, strings.NewReader(""), &out, io.Discard))

	text, err := os.ReadFile(lines)
	require.NoError(t, err)
	cells := 0
	for line := range strings.Lines(string(text)) {
		var m measurement
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		if m.Type == typeLimits {
			for _, syncs := range []syncTimes{m.AtOnce, m.Free} {
				require.Positive(t, syncs.Overwrite)
				require.Positive(t, syncs.Append)
			}
			require.Positive(t, m.RoundTrip)
			require.Positive(t, m.IdleRoundTrip)
			continue
		}
		cells++
		require.Positive(t, m.OpsPerSecond, line)
		require.Positive(t, m.P50, line)
		require.GreaterOrEqual(t, m.P99, m.P50, line)
		if m.Cell.Kind == kindWrite {
			require.Positive(t, m.SyncsPerOp, line)
		}
		if m.Cell.Kind == kindMixed {
			require.Positive(t, m.ReadP50, line)
		}
	}
	require.Equal(t, 2*(2*3+2), cells)
	for _, want := range []string{
		"| write 128 B x 1 | ideal |", "| write 128 B x 1 | ideal-append |",
		"| read x 4 | jraft |", "p50 of jraft is",
	} {
		require.Contains(t, out.String(), want)
	}
	profiles, err := filepath.Glob(profile + ".n?")
	require.NoError(t, err)
	require.Len(t, profiles, members)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "bench removes what it wrote")
}

func TestWhatCanNotBeMeasuredIsRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"is no cell":         {"-cells", "x"},
		"there is no system": {"-systems", "ideal,none"},
		"need -rounds":       {"-rounds", "0"},
	} {
		err := run(args, strings.NewReader(""), io.Discard, io.Discard)
		require.ErrorContains(t, err, want)
	}
}

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheTableShowsMediansAndTheRatiosOfEachRound(t *testing.T) {
	one, many := cell{kindWrite, 128, 1}, cell{kindWrite, 128, 64}
	var all []measurement
	// The machine gets slower from round to round, which the ratios must not show.
	for round, slow := range []float64{1, 2, 4} {
		note := func(m measurement) {
			m.Round = round + 1
			all = append(all, m)
		}
		note(measurement{Type: typeLimits, AtOnce: syncTimes{Overwrite: 90 * slow}, RoundTrip: 10 * slow,
			Free: syncTimes{Append: 7, Overwrite: 150 * slow}, IdleRoundTrip: 50 * slow})
		for _, c := range []cell{one, many} {
			ops := float64(c.Clients) * 1000 / slow
			note(measurement{Type: typeCell, System: nameJraft, Cell: c,
				sample: sample{OpsPerSecond: ops / 2, P50: 150 * slow}})
			note(measurement{Type: typeCell, System: nameIdeal, Cell: c,
				sample: sample{OpsPerSecond: ops, P50: 120 * slow}})
			note(measurement{Type: typeCell, System: nameIdealAppend, Cell: c,
				sample: sample{OpsPerSecond: ops * 0.8, P50: 140 * slow}})
		}
	}
	var out strings.Builder
	require.NoError(t, writeTable(&out, all))
	require.Contains(t, out.String(), "synced at once 180 overwriting, 0 appending; "+
		"by three free-running loops 300, 7; round trip 20, after idleness 100\n")
	require.Contains(t, out.String(), "| write 128 B x 64 | jraft | 16000 | 0.50 | 0.62 | 300 |")
	require.Contains(t, out.String(), "| write 128 B x 64 | ideal | 32000 |  | 1.25 | 240 |")
	require.Contains(t, out.String(), "write 128 B x 1: p50 of jraft is 1.50 x (")
	require.Contains(t, out.String(), ", 0.75 x (by free-running loops + one after idleness), "+
		"1.25 x that of ideal, 1.07 x that of ideal-append\n")
	require.Contains(t, out.String(), "write 128 B x 1: p50 of ideal is 1.20 x")
	require.NotContains(t, out.String(), "write 128 B x 64: p50")
}

func TestMedian(t *testing.T) {
	require.Zero(t, middleOf(nil))
	require.Equal(t, 2.0, middleOf([]float64{9, 1, 2}))
	require.Equal(t, 1.5, middleOf([]float64{2, 1}))
}

func TestCellsAreReadFromText(t *testing.T) {
	cells, err := parseCells("128x64, r16,m1024x2")
	require.NoError(t, err)
	require.Equal(t, []cell{{kindWrite, 128, 64}, {kindRead, 0, 16}, {kindMixed, 1024, 2}}, cells)
	require.Equal(t, "mixed 1 KiB x 2", cells[2].String())
	for _, bad := range []string{"", "128", "128x0", "-1x1", "rx", "m64", "128x1x1", "128x99999"} {
		_, err := parseCells(bad)
		require.ErrorContains(t, err, "is no cell", bad)
	}
	_, err = parseCells(defaultCells)
	require.NoError(t, err)
}

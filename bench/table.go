package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// measurement is one line of JSON: the limits of the machine, or a cell in a system, in a round.
type measurement struct {
	Type  string `json:"type"`
	Round int    `json:"round"`

	// Of typeLimits: microseconds, medians.
	AtOnce        syncTimes `json:"syncs_at_once,omitzero"` // in lockstep
	Free          syncTimes `json:"syncs_free,omitzero"`    // each as soon as its last is done
	RoundTrip     float64   `json:"round_trip_us,omitempty"`
	IdleRoundTrip float64   `json:"idle_round_trip_us,omitempty"` // when both sides have slept before

	// Of typeCell.
	System string `json:"system,omitempty"`
	Leader string `json:"leader,omitempty"`
	Cell   cell   `json:"cell,omitzero"`
	sample
	CPUMillisPerOp float64 `json:"cpu_ms_per_op,omitempty"` // this and what follows: of all members
	AllocsPerOp    float64 `json:"allocs_per_op,omitempty"`
	BytesPerOp     float64 `json:"bytes_per_op,omitempty"`
	SwitchesPerOp  float64 `json:"switches_per_op,omitempty"`
	SyncsPerOp     float64 `json:"syncs_per_op,omitempty"`
	HeapBytes      uint64  `json:"heap_bytes,omitempty"`
}

// syncTimes are of three files on one disk.
type syncTimes struct {
	Overwrite float64 `json:"overwrite_us"`
	Append    float64 `json:"append_us"`
}

const (
	typeLimits = "limits"
	typeCell   = "cell"
)

// writeTable writes medians over the rounds, and ratios: the median of the ratios of each round,
// because rounds differ more than the systems do.
func writeTable(out io.Writer, all []measurement) error {
	var b strings.Builder
	limits := only(all, func(m measurement) bool { return m.Type == typeLimits })
	of := func(f func(measurement) float64) float64 { return median(limits, f) }
	fmt.Fprintf(&b, "machine, p50 in us: three files synced at once %.0f overwriting, "+
		"%.0f appending; by three free-running loops %.0f, %.0f; round trip %.0f, "+
		"after idleness %.0f\n\n",
		of(func(m measurement) float64 { return m.AtOnce.Overwrite }),
		of(func(m measurement) float64 { return m.AtOnce.Append }),
		of(func(m measurement) float64 { return m.Free.Overwrite }),
		of(func(m measurement) float64 { return m.Free.Append }),
		of(func(m measurement) float64 { return m.RoundTrip }),
		of(func(m measurement) float64 { return m.IdleRoundTrip }))
	fmt.Fprintf(&b, "| cell | system | ops/s | of %s | of %s | p50 us | p99 us | CPU us/op | "+
		"allocs/op | B/op | switches/op | syncs/op | heap MB |\n%s|\n", ideals[0], ideals[1],
		strings.Repeat("|---", 13))
	for _, key := range keys(all) {
		writeRow(&b, key, all)
	}
	for _, key := range keys(all) {
		if key.cell.Kind == kindWrite && key.cell.Clients == 1 {
			writeLatency(&b, key, all)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// key says which measurements belong together.
type key struct {
	cell   cell
	system string
}

// keys returns each key once, in the order of the first round.
func keys(all []measurement) (ks []key) {
	for _, m := range all {
		k := key{m.Cell, m.System}
		if m.Type == typeCell && !slices.Contains(ks, k) {
			ks = append(ks, k)
		}
	}
	return ks
}

func (k key) in(all []measurement) []measurement {
	return only(all, func(m measurement) bool {
		return m.Type == typeCell && m.Cell == k.cell && m.System == k.system
	})
}

func writeRow(b *strings.Builder, k key, all []measurement) {
	mine := k.in(all)
	of := func(f func(measurement) float64) float64 { return median(mine, f) }
	fmt.Fprintf(b, "| %v | %s | %.0f | %s | %s | %.0f | %.0f | %.1f | %.1f | %.0f | %.2f | %.3f | "+
		"%.1f |\n", k.cell, k.system, of(func(m measurement) float64 { return m.OpsPerSecond }),
		toIdeal(k, ideals[0], all), toIdeal(k, ideals[1], all),
		of(func(m measurement) float64 { return m.P50 }),
		of(func(m measurement) float64 { return m.P99 }),
		of(func(m measurement) float64 { return m.CPUMillisPerOp * 1000 }),
		of(func(m measurement) float64 { return m.AllocsPerOp }),
		of(func(m measurement) float64 { return m.BytesPerOp }),
		of(func(m measurement) float64 { return m.SwitchesPerOp }),
		of(func(m measurement) float64 { return m.SyncsPerOp }),
		of(func(m measurement) float64 { return float64(m.HeapBytes) / 1e6 }))
}

// writeLatency compares the latency of one client with the machine's limits, and with an ideal's.
func writeLatency(b *strings.Builder, k key, all []measurement) {
	fmt.Fprintf(b, "\n%v: p50 of %s is %.2f x (three files synced at once + a round trip), "+
		"%.2f x (by free-running loops + one after idleness)", k.cell, k.system,
		toFloor(k, all, func(m measurement) float64 { return m.AtOnce.Overwrite + m.RoundTrip }),
		toFloor(k, all, func(m measurement) float64 { return m.Free.Overwrite + m.IdleRoundTrip }))
	for _, ideal := range ideals {
		r := ratios(k.in(all), key{k.cell, ideal}.in(all),
			func(mine, ideal measurement) float64 { return mine.P50 / ideal.P50 })
		if r != 0 && k.system != ideal {
			fmt.Fprintf(b, ", %.2f x that of %s", r, ideal)
		}
	}
	b.WriteByte('\n')
}

// toIdeal is the share of an ideal's operations per second; empty where it was not measured.
func toIdeal(k key, ideal string, all []measurement) string {
	r := ratios(k.in(all), key{k.cell, ideal}.in(all),
		func(mine, ideal measurement) float64 { return mine.OpsPerSecond / ideal.OpsPerSecond })
	if r == 0 || k.system == ideal {
		return ""
	}
	return fmt.Sprintf("%.2f", r)
}

// toFloor is how many times the machine's limit the latency is.
func toFloor(k key, all []measurement, limit func(measurement) float64) float64 {
	limits := only(all, func(m measurement) bool { return m.Type == typeLimits })
	return ratios(k.in(all), limits, func(mine, m measurement) float64 { return mine.P50 / limit(m) })
}

// ratios returns the median of f over the rounds in which both were measured; 0 if there are none.
func ratios(mine, others []measurement, f func(mine, other measurement) float64) float64 {
	var rs []float64
	for _, m := range mine {
		for _, o := range others {
			if o.Round == m.Round {
				rs = append(rs, f(m, o))
			}
		}
	}
	return middleOf(rs)
}

func only(all []measurement, f func(measurement) bool) (some []measurement) {
	for _, m := range all {
		if f(m) {
			some = append(some, m)
		}
	}
	return some
}

func median(ms []measurement, f func(measurement) float64) float64 {
	var vs []float64
	for _, m := range ms {
		vs = append(vs, f(m))
	}
	return middleOf(vs)
}

// middleOf returns the median; the mean of the two in the middle if their number is even.
func middleOf(vs []float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	slices.Sort(vs)
	return (vs[(len(vs)-1)/2] + vs[len(vs)/2]) / 2
}

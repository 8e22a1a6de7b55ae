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
	OverwriteP50 float64 `json:"overwrite_sync_p50_us,omitempty"` // three at once, each
	AppendP50    float64 `json:"append_sync_p50_us,omitempty"`    // likewise
	RoundTripP50 float64 `json:"round_trip_p50_us,omitempty"`

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

const (
	typeLimits = "limits"
	typeCell   = "cell"
)

// writeTable writes medians over the rounds, and ratios: the median of the ratios of each round,
// because rounds differ more than the systems do.
func writeTable(out io.Writer, all []measurement) error {
	var b strings.Builder
	limits := only(all, func(m measurement) bool { return m.Type == typeLimits })
	fmt.Fprintf(&b, "machine, p50: three files synced at once %.0f us overwriting, "+
		"%.0f us appending; round trip %.0f us\n\n",
		median(limits, func(m measurement) float64 { return m.OverwriteP50 }),
		median(limits, func(m measurement) float64 { return m.AppendP50 }),
		median(limits, func(m measurement) float64 { return m.RoundTripP50 }))
	b.WriteString("| cell | system | ops/s | of ideal | p50 us | p99 us | CPU us/op | allocs/op | " +
		"B/op | switches/op | syncs/op | heap MB |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, key := range keys(all) {
		writeRow(&b, key, all)
	}
	for _, key := range keys(all) {
		if key.cell.Kind != kindWrite || key.cell.Clients > 1 {
			continue
		}
		fmt.Fprintf(&b, "\n%v: p50 of %s is %.2f x (a sync of three files at once + a round trip)\n",
			key.cell, key.system, toFloor(key, all))
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
	ratio := ""
	if r := toIdeal(k, all); r > 0 {
		ratio = fmt.Sprintf("%.2f", r)
	}
	fmt.Fprintf(b, "| %v | %s | %.0f | %s | %.0f | %.0f | %.1f | %.1f | %.0f | %.2f | %.3f | %.1f |\n",
		k.cell, k.system,
		of(func(m measurement) float64 { return m.OpsPerSecond }), ratio,
		of(func(m measurement) float64 { return m.P50 }),
		of(func(m measurement) float64 { return m.P99 }),
		of(func(m measurement) float64 { return m.CPUMillisPerOp * 1000 }),
		of(func(m measurement) float64 { return m.AllocsPerOp }),
		of(func(m measurement) float64 { return m.BytesPerOp }),
		of(func(m measurement) float64 { return m.SwitchesPerOp }),
		of(func(m measurement) float64 { return m.SyncsPerOp }),
		of(func(m measurement) float64 { return float64(m.HeapBytes) / 1e6 }))
}

// toIdeal is the share of ideal's operations per second; 0 where ideal was not measured.
func toIdeal(k key, all []measurement) float64 {
	if k.system == nameIdeal {
		return 0
	}
	return ratios(k.in(all), key{k.cell, nameIdeal}.in(all),
		func(mine, ideal measurement) float64 { return mine.OpsPerSecond / ideal.OpsPerSecond })
}

// toFloor is how many times the machine's limit the latency is.
func toFloor(k key, all []measurement) float64 {
	limits := only(all, func(m measurement) bool { return m.Type == typeLimits })
	return ratios(k.in(all), limits, func(mine, limit measurement) float64 {
		return mine.P50 / (limit.OverwriteP50 + limit.RoundTripP50)
	})
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

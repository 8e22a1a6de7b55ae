package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// summary is what --json prints: one line.
type summary struct {
	Result     string     `json:"result"` // PASS or FAIL
	Reasons    []string   `json:"reasons,omitempty"`
	Seconds    float64    `json:"seconds"` // of everything
	Nodes      int        `json:"nodes"`
	Clients    int        `json:"clients"`
	Acked      int        `json:"acked"`
	PerSecond  int        `json:"acked_per_second"`
	P50        float64    `json:"p50_ms"`
	P99        float64    `json:"p99_ms"`
	Failovers  []failover `json:"failovers"`
	Median     float64    `json:"failover_median_ms,omitempty"`
	Worst      float64    `json:"failover_worst_ms,omitempty"`
	Steps      []step     `json:"steps,omitempty"` // of --reconfigure
	Steady     float64    `json:"longest_pause_before_steps_ms,omitempty"`
	Pause      float64    `json:"longest_pause_ms,omitempty"`
	PauseIn    string     `json:"longest_pause_in,omitempty"`
	Unknown    int        `json:"retries_outcome_unknown"`
	Refused    int        `json:"retries_not_appended"`
	Duplicates uint64     `json:"duplicates_suppressed"`
	Hash       string     `json:"hash,omitempty"`
	Dir        string     `json:"dir,omitempty"` // where it was kept
}

// failover is what one kill cost.
type failover struct {
	Killed    string  `json:"killed"`
	Leader    string  `json:"leader"`
	Term      uint64  `json:"term"`
	Failover  float64 `json:"failover_ms"`       // from the kill to the next acknowledgement
	Gone      float64 `json:"process_gone_ms"`   // of that, until the system had ended the process
	NoAnswers float64 `json:"without_leader_ms"` // the longest time between two acknowledgements
	Missed    uint64  `json:"missed_entries"`    // by the member that was dead
	CatchUp   float64 `json:"catch_up_ms"`       // from its restart until it had applied them
	Snapshot  uint64  `json:"snapshot"`          // the one it came back by; 0: it came by the log
}

// report tells how the run ended, and why if not well.
func (d *demo) report(failure error) error {
	if d.sum.Result = "PASS"; failure != nil {
		d.sum.Result = "FAIL"
		d.sum.Reasons = strings.Split(strings.TrimSpace(failure.Error()), "\n")
	}
	d.sum.Median, d.sum.Worst = failoverTimes(d.sum.Failovers)
	worst := longest(d.sum.Steps)
	d.sum.Pause, d.sum.PauseIn = worst.Pause, worst.Name
	for _, r := range d.sum.Reasons {
		d.v.print("  %s", r)
	}
	if d.sum.Dir != "" {
		d.v.print("  data and logs are kept in %s", d.sum.Dir)
	}
	d.verdict()
	if d.o.JSON {
		if err := json.NewEncoder(os.Stdout).Encode(d.sum); err != nil {
			return err
		}
	}
	if failure != nil {
		return errFailed
	}
	return nil
}

// verdict prints the last line.
func (d *demo) verdict() {
	s := d.sum
	if s.Result != "PASS" {
		d.v.print("\n%s   %.1f s", paint(d.v.color, red, s.Result), s.Seconds)
		return
	}
	killed := "no failover"
	if n := len(s.Failovers); n == 1 {
		killed = fmt.Sprintf("failover in %.0f ms", s.Worst)
	} else if n > 1 {
		killed = fmt.Sprintf("%d failovers (median %.0f ms, worst %.0f ms)", n, s.Median, s.Worst)
	}
	if len(s.Steps) > 0 {
		killed = fmt.Sprintf("%d steps   longest pause in writes %.0f ms (%s)",
			len(s.Steps), s.Pause, s.PauseIn)
	}
	d.v.print("\n%s   %.1f s   %s   %s increments   %d nodes agree",
		paint(d.v.color, green, s.Result), s.Seconds, killed, commas(s.Acked), s.Nodes)
}

// failoverTimes returns the median and the worst.
func failoverTimes(all []failover) (median, worst float64) {
	var took []float64
	for _, f := range all {
		took = append(took, f.Failover)
	}
	slices.Sort(took)
	if n := len(took); n > 0 {
		median, worst = (took[(n-1)/2]+took[n/2])/2, took[n-1]
	}
	return median, worst
}

func inSeconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }

func inMillis(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*10) / 10
}

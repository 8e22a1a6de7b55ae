// Package record is what is left of a run: a trace of its events, with a hash by which two runs are
// compared, and the report.
package record

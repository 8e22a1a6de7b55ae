package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	kindWrite = "write"
	kindRead  = "read"
	kindMixed = "mixed" // nine reads to one write
)

// cell is one thing to measure: clients that ask again as soon as they are answered.
type cell struct {
	Kind    string `json:"kind"`
	Bytes   int    `json:"bytes"` // of a command
	Clients int    `json:"clients"`
}

func (c cell) String() string {
	if c.Kind == kindRead {
		return fmt.Sprintf("read x %d", c.Clients)
	}
	size := fmt.Sprintf("%d B", c.Bytes)
	if c.Bytes >= 1024 && c.Bytes%1024 == 0 {
		size = fmt.Sprintf("%d KiB", c.Bytes/1024)
	}
	return fmt.Sprintf("%s %s x %d", c.Kind, size, c.Clients)
}

// onOwn reports whether the cell is measured in our system only.
func (c cell) onOwn() bool { return c.Kind != kindWrite }

const defaultCells = "128x1,128x16,128x64,128x256,128x1024,16x1024,1024x1024,16384x64," +
	"r1,r64,r256,m128x64"

// parseCells reads a list like "128x64,r64,m128x64": bytes x clients of writes, readers, and a
// mix of both.
func parseCells(list string) (cells []cell, err error) {
	for text := range strings.SplitSeq(list, ",") {
		c, err := parseCell(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		cells = append(cells, c)
	}
	return cells, nil
}

func parseCell(text string) (cell, error) {
	c := cell{Kind: kindWrite}
	rest := text
	if r, ok := strings.CutPrefix(text, "r"); ok {
		c.Kind, rest = kindRead, "0x"+r
	}
	if m, ok := strings.CutPrefix(text, "m"); ok {
		c.Kind, rest = kindMixed, m
	}
	bytes, clients, ok := strings.Cut(rest, "x")
	var errs [2]error
	c.Bytes, errs[0] = strconv.Atoi(bytes)
	c.Clients, errs[1] = strconv.Atoi(clients)
	bad := !ok || errs[0] != nil || errs[1] != nil || c.Bytes < 0 || c.Bytes > 1<<20
	if bad || c.Clients < 1 || c.Clients > 1<<16 {
		return cell{}, fmt.Errorf("%q is no cell: need bytes x clients, like 128x64; "+
			"r and readers, like r64; or m and bytes x clients, like m128x64", text)
	}
	return c, nil
}

func parseSystems(list string) (names []string, err error) {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if _, err := newSystem(name); err != nil {
			return nil, err
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

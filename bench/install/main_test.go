package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain makes the test's program a member where it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == memberCommand {
		if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestInstallThroughKills(t *testing.T) {
	var out bytes.Buffer
	err := run([]string{"-size", "64MiB", "-limit", "24MiB", "-entries", "1000", "-time", "200ms",
		"-dir", t.TempDir()}, nil, &out, &out)
	require.NoError(t, err, out.String())
	require.Contains(t, out.String(), "install: 64 MiB fetched")
	require.Contains(t, out.String(), "kill -9: n3 goes on with ")
	require.Contains(t, out.String(), "kill -9: complete after ")
}

func TestParseSize(t *testing.T) {
	n, err := parseSize("3MiB")
	require.NoError(t, err)
	require.Equal(t, int64(3<<20), n)
	_, err = parseSize("3MB")
	require.Error(t, err)
}

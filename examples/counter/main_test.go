package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/examples/counter/service"
)

// build makes the program, as `go run` would.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "counter")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

// TestProgram runs the demo as its users do: real processes, one of them killed.
func TestProgram(t *testing.T) {
	program := build(t)

	t.Run("demo", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, "--duration", "3s", "--kills", "1", "--json")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		require.NoError(t, err, stderr.String())
		require.Equal(t, 1, bytes.Count(stdout.Bytes(), []byte("\n")), "one line")
		var s summary
		require.NoError(t, json.Unmarshal(stdout.Bytes(), &s))
		require.Equal(t, "PASS", s.Result)
		require.Positive(t, s.Acked)
		require.Len(t, s.Failovers, 1)
		f := s.Failovers[0]
		require.NotEqual(t, f.Killed, f.Leader)
		require.Positive(t, f.NoAnswers)
		require.NoDirExists(t, s.Dir)
		require.NotContains(t, stderr.String(), "\x1b", "no animation outside a terminal")
	})

	t.Run("demo with snapshots", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, "--duration", "2s", "--snapshot-every", "100", "--json")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		require.NoError(t, cmd.Run(), &stderr)
		var s summary
		require.NoError(t, json.Unmarshal(stdout.Bytes(), &s))
		require.Equal(t, "PASS", s.Result)
		require.Len(t, s.Failovers, 1)
		f := s.Failovers[0]
		require.Positive(t, f.Snapshot)
		require.Contains(t, stderr.String(), f.Killed+" needs a snapshot")
		require.Contains(t, stderr.String(), f.Killed+" is back by snapshot ")
	})

	t.Run("wrong command lines", func(t *testing.T) {
		for _, tc := range []struct {
			args []string
			says string
		}{
			{[]string{"--nodes", "three"}, `invalid value "three" for flag -nodes`},
			{[]string{"--nodes", "2"}, "--kills needs --nodes 3 or more"},
			{[]string{"--kills", "5", "--duration", "3s"}, "--duration is 3s, need at least"},
			{[]string{"--snapshot-every", "-1"}, "--snapshot-every is -1"},
			{[]string{"--fast"}, "flag provided but not defined: -fast"},
			{[]string{"fly"}, `unknown command "fly"`},
			{[]string{"get", "now"}, `unexpected argument "now"`},
			{[]string{"node"}, `--id is ""`},
			{[]string{"node", "--id", "n1", "--peers", "n1"}, `"n1" is not id=host:port`},
			{[]string{"add", "--from", "n7"}, `--from is "n7"`},
		} {
			out, err := exec.Command(program, tc.args...).CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "%v", tc.args)
			require.Equal(t, exitUsage, exit.ExitCode(), "%v: %s", tc.args, out)
			require.Contains(t, string(out), tc.says)
		}
	})

	t.Run("get from a dead group", func(t *testing.T) {
		nobody := "n1=127.0.0.1:1,n2=127.0.0.1:2"
		out, err := exec.Command(program, "get", "--http", nobody).CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, exitFailure, exit.ExitCode())
		require.Regexp(t, `no answer.*\n  n1: .*127.0.0.1:1.*\n  n2: .*127.0.0.1:2`, string(out))
	})

	t.Run("help", func(t *testing.T) {
		out, err := exec.Command(program, "--help").Output()
		require.NoError(t, err)
		require.Equal(t, usage, string(out))
	})
}

func TestDefaultAddressesParse(t *testing.T) {
	for _, list := range []string{defaultPeers, defaultHTTP} {
		var a service.Addresses
		require.NoError(t, a.Set(list))
		require.Len(t, a, 3)
		require.Equal(t, list, a.String())
	}
	var a service.Addresses
	require.Error(t, a.Set("n1=h:1,n1=h:2"))
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
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
		cmd := exec.CommandContext(ctx, program, "--duration", "2s", "--kills", "1", "--json")
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

	t.Run("reconfigure", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, "--reconfigure", "--duration", "3s", "--json")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		require.NoError(t, cmd.Run(), &stderr)
		var s summary
		require.NoError(t, json.Unmarshal(stdout.Bytes(), &s))
		require.Equal(t, "PASS", s.Result)
		require.Len(t, s.Steps, len(steps))
		for i, voters := range []int{5, 5, 5, 5, 3} {
			require.Len(t, strings.Fields(s.Steps[i].Voters), voters, s.Steps[i].Name)
			require.Positive(t, s.Steps[i].Pause)
			require.LessOrEqual(t, s.Steps[i].Pause, s.Pause)
		}
		require.NotEqual(t, s.Steps[0].Leader, s.Steps[1].Leader, "transferred")
		require.NotEqual(t, s.Steps[2].Leader, s.Steps[3].Leader, "transferred again")
		replaced := s.Steps[2]
		require.NotNil(t, replaced.Kill)
		require.NotEmpty(t, replaced.Stage, "killed in the middle")
		require.Subset(t, strings.Fields(replaced.Voters), []string{"n6", "n7"})
		require.Contains(t, stderr.String(), "know that they were removed")
	})

	t.Run("members by hand", func(t *testing.T) { byHand(t, program) })

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
			{[]string{"--reconfigure", "--kills", "2"}, "--kills doesn't go with --reconfigure"},
			{[]string{"--reconfigure", "--duration", "1s"}, "--duration is 1s, need at least 3s"},
			{[]string{"node", "--join", "--id", "n4"}, "--join needs --id, and --addr"},
			{[]string{"node", "--id", "n4"}, `--id is "n4", need a member listed in --peers, or --join`},
			{[]string{"node", "--join", "--id", "n4", "--addr", "h:65000"}, `--addr is "h:65000"`},
			{[]string{"add-member", "n4"}, "add-member needs ADDR"},
			{[]string{"remove-member", "n4", "n5"}, `unexpected argument "n5"`},
			{[]string{"promote", "n4", "--learner"}, "flag provided but not defined: -learner"},
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

// byHand plays with a group as the help text shows: a member joins, leads, and is alone at last.
func byHand(t *testing.T, program string) {
	ports, err := freePorts(2)
	require.NoError(t, err)
	at := service.Addresses{{ID: "n1", Addr: ports[0]}, {ID: "n2", Addr: ports[1]}}
	list := "n1=" + service.ClientAddr(nil, "", ports[0])
	start := func(id string, args ...string) {
		args = append([]string{"node", "--id", id, "--dir", t.TempDir()}, args...)
		cmd := exec.Command(program, append(args, "--election-timeout", "100ms")...)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	start("n1", "--peers", "n1="+ports[0])
	start("n2", "--join", "--addr", ports[1])
	says := func(want string, args ...string) {
		t.Helper()
		args = append([]string{args[0], "--http", list}, args[1:]...)
		out, err := exec.Command(program, args...).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), want)
	}
	require.Eventually(t, func() bool {
		return exec.Command(program, "add", "--delta", "5", "--http", list).Run() == nil
	}, 20*time.Second, 20*time.Millisecond)
	says("voters: n1\nlearners: n2\n", "add-member", "n2", at[1].Addr, "--learner")
	says("voters: n1 n2\n", "promote", "n2")
	says("n2 leads\n", "transfer", "n2")
	says("n2 leads in term", "members")
	out, err := exec.Command(program, "transfer", "n3", "--http", list).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "n3 is no voter")
	says("voters: n2\n", "remove-member", "n1")
	says("6\n", "add")
	says("6\n", "get", "--http", "n2="+service.ClientAddr(nil, "", ports[1]))
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

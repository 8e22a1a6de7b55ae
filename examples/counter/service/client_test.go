package service

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serve returns the address of a server that answers each increment as f says.
func serve(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestClientFollowsTheLeader(t *testing.T) {
	var asked []string
	leader := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.FormValue("seq"))
		reply(w, http.StatusOK, Added{Total: 7})
	})
	bystander := serve(t, func(http.ResponseWriter, *http.Request) {
		t.Error("nobody named this member")
	})
	follower := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusServiceUnavailable,
			Failure{Message: "not the leader", Outcome: outcomeNotAppended, LeaderHTTP: leader})
	})
	c := NewClient("c1", []string{follower, bystander, leader}, 0)
	for range 2 {
		res, err := c.Add(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, int64(7), res.Total)
	}
	require.Equal(t, []string{"1", "2"}, asked, "it stays with the leader")
	require.Equal(t, 1, c.NotAppended)
	require.Zero(t, c.Unknown)
}

// TestClientDoesNotReturnToTheDead has a member that takes a dead one for the leader, and a newer
// list of members: the client asks the leader that only this list has.
func TestClientDoesNotReturnToTheDead(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	gone := strings.TrimPrefix(dead.URL, "http://")
	leader := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, Added{Total: 7})
	})
	asked := 0
	var follower string
	follower = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set(membersHeader, "12 "+gone+" "+follower+" "+leader)
		reply(w, http.StatusServiceUnavailable,
			Failure{Message: "not the leader", Outcome: outcomeNotAppended, LeaderHTTP: gone})
	})
	c := NewClient("c1", []string{gone, follower}, 0)
	_, err := c.Add(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, 1, asked)
	require.Equal(t, 2, c.NotAppended, "one for the dead, one for the follower")
	require.Equal(t, []string{gone, follower, leader}, c.members)
	h := http.Header{}
	for _, older := range []string{"11 x:1", "", "new x:1", "13 "} {
		h.Set(membersHeader, older)
		c.meet(h)
	}
	require.Len(t, c.members, 3)
}

func TestClientRepeatsTheSameIncrement(t *testing.T) {
	var asked []string
	dead := httptest.NewServer(nil)
	dead.Close()
	busy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.FormValue("client")+r.FormValue("seq"))
		switch len(asked) {
		case 1:
			reply(w, http.StatusServiceUnavailable, Failure{Message: "who knows", Outcome: outcomeUnknown})
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks without an answer
		default:
			reply(w, http.StatusOK, Added{Total: 1, Duplicate: true})
		}
	})
	c := NewClient("c1", []string{strings.TrimPrefix(dead.URL, "http://"), busy}, 0)
	res, err := c.Add(t.Context(), 1)
	require.NoError(t, err)
	require.True(t, res.Duplicate)
	require.Equal(t, []string{"c11", "c11", "c11"}, asked)
	require.Equal(t, 2, c.Unknown)
	require.GreaterOrEqual(t, c.NotAppended, 1, "a dead member was not even sent it")
}

func TestClientGivesUp(t *testing.T) {
	refusing := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, Added{Refused: "a gap"})
	})
	_, err := NewClient("c1", []string{refusing}, 0).Add(t.Context(), 1)
	require.ErrorIs(t, err, errRefused)

	silent := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusServiceUnavailable,
			Failure{Message: "no leader", Outcome: outcomeNotAppended})
	})
	// The end may come while an answer is under way: then the last error is another one.
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := NewClient("c1", []string{silent}, 0).Add(ctx, 1)
		return errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "no leader")
	}, 10*time.Second, time.Millisecond)
}

package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEveryDurationFallsIntoABucketThatIsCloseToIt(t *testing.T) {
	last := -1
	for d := time.Duration(0); d < 8*time.Minute; d += 1 + d/300 {
		b := bucket(d)
		require.GreaterOrEqual(t, b, last, "buckets rise with %v", d)
		last = b
		require.InDelta(t, float64(d), float64(middle(b)), float64(d)/200+0.5)
	}
	require.Equal(t, len(histogram{}.counts)-1, bucket(time.Hour))
	require.Zero(t, bucket(-1))
}

func TestPercentilesAreThoseOfTheSortedValues(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	var a, b histogram
	var all []time.Duration
	for i := range 10_001 {
		d := time.Duration(chance.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			a.record(d)
		} else {
			b.record(d)
		}
	}
	a.add(&b)
	slices.Sort(all)
	for _, p := range []float64{1, 50, 99, 100} {
		want := all[max(int(p/100*float64(len(all))+0.999999), 1)-1]
		require.InEpsilon(t, float64(want), float64(a.percentile(p)), 0.005, "p%v", p)
	}
	require.Zero(t, (&histogram{}).percentile(50))
}

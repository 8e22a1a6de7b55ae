package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/jraft-go/jraft/internal/sim/witness"
)

// input is what a client did to one key's register.
type input struct {
	write bool
	value uint64
}

// model is that of one key: a write replaces the value, a read returns it.
var model = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, in, out any) (bool, any) {
		i := in.(input)
		if i.write {
			return true, i.value
		}
		return out.(uint64) == state.(uint64), state
	},
}

// secondOpinion is the other half of I20: in one seed of four the whole history of every key is
// checked by porcupine, which knows nothing of logs and indexes.
func secondOpinion(c *Cluster) {
	if c.Seed%4 != 0 {
		return
	}
	byKey := make([][]porcupine.Operation, c.swarm.Keys)
	for n, o := range c.ops {
		x := porcupine.Operation{ClientId: n, Call: int64(o.Start), Return: int64(o.End)}
		switch {
		case o.Piece:
			continue
		case o.Write && o.Fate == witness.Acked:
			x.Input, x.Output = input{true, o.Serial}, uint64(0)
		case o.Write && o.Fate != witness.NotAppended && o.Logged != 0:
			// Of unknown outcome to the client, so it may take effect at any time until the end. Those that
			// nobody ever saw would only cost time.
			x.Input, x.Output, x.Return = input{true, o.Serial}, uint64(0), int64(c.now)+1
		case !o.Write && o.Fate == witness.Acked:
			x.Input, x.Output = input{}, o.Value
		default:
			continue
		}
		byKey[o.Key] = append(byKey[o.Key], x)
	}
	for key, ops := range byKey {
		ops = append(ops, restored(c, key)...)
		slices.SortStableFunc(ops, func(a, b porcupine.Operation) int {
			return cmp.Compare(a.Call, b.Call)
		})
		if len(ops) > 400 {
			// operations are in the order of their calls; a prefix may lack writes read later
			ops = ops[:400]
			ops = closed(ops)
		}
		got := porcupine.CheckOperationsTimeout(model, ops, 2*time.Second)
		c.check(got != porcupine.Illegal, "I20 linearizable", "porcupine: the history of key %d is not",
			key)
	}
}

// restored are the backups that were restored: each writes what it holds.
func restored(c *Cluster, key int) (ops []porcupine.Operation) {
	for n, x := range c.history.Restored() {
		for _, r := range c.restores {
			if r.id != x.ID {
				continue
			}
			o := porcupine.Operation{ClientId: len(c.ops) + n, Call: int64(r.lastAt), Output: uint64(0),
				Input: input{true, x.State.Cells[key].Serial}, Return: int64(c.now) + 1}
			if r.ackedAt > 0 {
				o.Return = int64(r.ackedAt)
			}
			ops = append(ops, o)
		}
	}
	return ops
}

// closed drops reads of values whose write is not among the operations.
func closed(ops []porcupine.Operation) []porcupine.Operation {
	written := map[uint64]bool{0: true}
	for _, o := range ops {
		if i := o.Input.(input); i.write {
			written[i.value] = true
		}
	}
	var rest []porcupine.Operation
	for _, o := range ops {
		if i := o.Input.(input); i.write || written[o.Output.(uint64)] {
			rest = append(rest, o)
		}
	}
	return rest
}

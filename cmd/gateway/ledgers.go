package main

import (
	"context"
	"path/filepath"

	"gateway/state"
	"gateway/state/sqlite"
)

// nodeState is the state of a mounted source with a policy where nodes share
// theirs. What a node has proved lies in a folder of its own, and so the ledger of
// it is its own too. Which evidence was accepted is known to all.
type nodeState struct {
	state.Ledger
	state.Holds
	state.Catalogue
	state.History
	state.EvidenceStore
	state.Locks
	state.Bans
	state.Properties
	state.Quotas
	state.Outbox
	state.Codes
	state.Sessions
	state.Shares

	own *sqlite.Store
}

var _ state.Store = (*nodeState)(nil)

// Close closes what is the node's own.
func (n *nodeState) Close() error { return n.own.Close() }

// openLedgers opens the ledgers that are the node's own.
func (g *gateway) openLedgers(ctx context.Context) error {
	if !g.cfg.State.Shared() {
		return nil
	}
	for name := range g.storages {
		if g.cfg.Storages[name].Source == "" {
			continue
		}
		own, err := sqlite.Open(ctx, filepath.Join(g.cfg.MountsDir(), name, "state.db"))
		if err != nil {
			return err
		}
		g.ledgers[name] = &nodeState{
			Ledger: g.watchLedger(own), Holds: own, Catalogue: own, History: g.state, EvidenceStore: g.state,
			Locks: g.state, Bans: g.state, Properties: g.state, Quotas: g.state, Outbox: g.state, Sessions: g.state, Shares: g.state, Codes: g.state, own: own,
		}
	}
	return nil
}

// ledger is where what happens in a storage is written down.
func (g *gateway) ledger(storage string) state.Store {
	if own := g.ledgers[storage]; own != nil {
		return own
	}
	return g.state
}

// Package eviction keeps a node usable: while a threshold is met (thresholds.go, pressure.go)
// it has unused disk space reclaimed, then evicts pods one at a time in the order of
// ranking.go. It also evicts pods that exceed a limit of ephemeral storage (disklimits.go),
// and decides which pods a node under pressure rejects.
//
// It measures nothing itself and terminates nothing itself: the Node returns the signals and
// reclaims, and a pod's Worker reports its usage and evicts it. The caller runs Run in one
// goroutine; the other methods may be called from any.
package eviction

// Package resize changes the cpu and memory of pods in place.
//
// Allocations has what the node has allocated to each pod (allocations.go): a pod that requests
// another size gets it when it fits beside the others, else the resize is deferred or
// infeasible. Its worker calls Allocate in each step, gives the containers their sizes in the
// order of State.Changes, and reports back with Started, Failed and Completed. The rest is
// pure: sizes of pods (sizes.go), limits of control groups (limits.go), and what a status
// shows of them (state.go).
//
// The package never touches a container or a control group. A State belongs to its worker's
// goroutine; the methods of Allocations may be called from any.
package resize

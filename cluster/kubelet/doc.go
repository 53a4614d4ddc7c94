// Package kubelet runs the pods that the API server has bound to one node.
//
// It also runs, with or without the API server, the pods of manifests in a folder
// of the node (static.go), and keeps a mirror of each at the API server (mirror.go).
//
// It owns: the node's Node object and Lease, the status of the node's pods, all
// containers that carry the labels of this cluster and node, the directory
// Config.RootDir with everything mounted below it, and the node's HTTPS server
// (logs, exec, attach, port-forward, statistics). It never touches a container
// without its labels, never writes iptables rules and never makes addresses:
// those come from the Network it is given.
//
// A pod is looked after by one worker, a goroutine with its own state
// (worker.go). The worker compares what the pod's spec wants with what the
// runtime shows and does the next step (sync.go, terminate.go); it is woken by
// a change of the pod, an event of the runtime, the result of a probe or a
// timer. What it sees becomes the pod's status by a pure function (podstatus.go)
// and is sent by the worker's reporter (report.go) when it differs.
//
// What pods use is read from control groups (cgroup, stats.go) and folders
// (diskusage.go), never asked of the runtime. Limits stand in the groups of the
// containers, of the pod and of its QoS class (podgroups.go). When the node
// runs short of something (observe.go, thresholds.go, pressure.go) it clears
// away what nobody uses (gc.go), then evicts pods in the order of ranking.go
// (evict.go). It removes only images that it has pulled itself: the engine is
// not its own, and what was built or loaded here may not be had again.
//
// A pod that asks for another size while it runs is given it when it fits beside the
// others (resize_allot.go); its worker then changes the containers as they run, or starts
// anew those whose resizePolicy says so (resize.go, resize_sizes.go).
//
// The process must run in the network namespace that is to be the node: probes
// and port-forwards start there. New starts nothing; Run blocks until its
// context ends and leaves all containers running: the next kubelet adopts them.
package kubelet

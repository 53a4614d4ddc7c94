// Package kubelet runs the pods that the API server has bound to one node, and the static
// pods of the node's manifests, each with a mirror pod at the API server (package source).
//
// It owns: the node's Node object and Lease, the status of the node's pods, all
// containers that carry the labels of this cluster and node, the directory
// Config.RootDir with everything mounted below it, and the node's HTTPS server. It never
// touches a container without its labels, never writes packet rules and never allocates
// addresses: those come from the Network of Config. It removes only images that it has
// pulled itself: the engine is shared with other users.
//
// run.go wires it. One worker, a goroutine with its own state, runs each pod (pods.go,
// worker.go). Its steps are lists of stages (stages.go): observe the containers, compute the next step (plan.go, pure), do
// it (sync.go, terminate.go). A change of the pod, an event of the runtime, the result of a
// probe or a timer notifies it. README.md draws the pipeline and lists the packages below.
//
// The process must run in the network namespace that is to be the node: probes and
// port-forwards start there. New starts nothing; Run blocks until its context ends and
// leaves all containers running: the next kubelet adopts them.
package kubelet

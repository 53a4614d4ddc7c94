package capacity

// What a learner's own cluster is reckoned with: its processes, a workbench and the pods of a lab.
const (
	memoryOfCluster    = 256 << 20 // bytes; idle it has 115 MB
	diskOfCluster      = 500 << 20 // bytes; at first it has 187 MB
	processesOfCluster = 250       // and threads; idle it has 65
	watchesOfCluster   = 1         // inotify instances
)

// CompareClusters returns a check for each figure that bounds a class whose learners have a cluster each.
func CompareClusters(f Facts, learners int) []Check {
	n := int64(learners)
	return append(ofClusters(f, n, true), port(f))
}

// Short returns the first figure that so many further clusters do not fit in, nil if they do. What is not known is not compared.
func Short(f Facts, clusters int) *Check {
	for _, c := range ofClusters(f, int64(clusters), false) {
		if !c.OK {
			return &c
		}
	}
	return nil
}

// ofClusters compares what n clusters need, those of the class itself with them or alone.
func ofClusters(f Facts, n int64, class bool) (out []Check) {
	for _, x := range []struct {
		name             string
		have, base, each int64
		show             func(int64) string
		remedy           string
	}{
		{"memory", f.Memory, memoryBase, memoryOfCluster, bytes, "close programs, take a larger machine, or fewer learners"},
		{"disk", f.Disk, diskBase, diskOfCluster, bytes, "`docker system prune` removes what no container uses"},
		{"processes", f.Processes, processesBase, processesOfCluster, count, "raise kernel.pid_max and kernel.threads-max with sysctl"},
		{"inotify", f.Watches, watchesBase, watchesOfCluster, count, "`sysctl -w fs.inotify.max_user_instances=8192`"},
		{"addresses", f.Blocks, 0, 1, count, "remove clusters (`wheelhouse down --name ...`), or fewer learners: a machine has addresses for 81 clusters"},
	} {
		need := n * x.each
		switch {
		case class:
			need += x.base
		case x.have == Unknown || x.name == "inotify": // which says what there is, not what is left
			continue
		}
		out = append(out, compare(x.name, x.have, need, x.show, x.remedy))
	}
	return out
}

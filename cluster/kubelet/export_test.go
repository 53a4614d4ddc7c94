package kubelet

// WorkersLeft returns the number of pods that have a worker.
func (k *Kubelet) WorkersLeft() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.workers)
}

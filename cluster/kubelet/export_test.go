package kubelet

// WorkersLeft tells how many pods a kubelet still looks after.
func (k *Kubelet) WorkersLeft() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.workers)
}

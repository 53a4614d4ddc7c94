package kubelet

import (
	"maps"
	"sync"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/volume"
)

// published is what a worker publishes of its containers, so that measuring the node takes no
// request to the runtime.
type published struct {
	mu    sync.Mutex
	list  []running            // without the sandbox
	all   map[string]cri.State // every container and sandbox, by id
	paths map[string]string    // the control groups, by container id
	group string               // the pod's control group, empty if it has none

	claims  map[string]string // the paths of their volumes, by the claims' names
	volumes map[string]int    // those that are set up, by plugin
}

// running is a container that runs, and its control group.
type running struct {
	cri.Container
	group string
}

func (s *published) setVolumes(m *volume.Manager) {
	claims, volumes := m.Claims(), m.Plugins()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims, s.volumes = claims, volumes
}

func (s *published) plugins() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.volumes
}

func (s *published) claimPaths() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims
}

func (s *published) setGroup(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.group = path
}

// differs reports whether the runtime has other containers of the pod than were published last,
// or the same ones in other states.
func (s *published) differs(seen map[string]cri.State) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !maps.Equal(s.all, seen)
}

// states are those of every container and sandbox.
func (s *published) states() (all []cri.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, state := range s.all {
		all = append(all, state)
	}
	return all
}

// get is what was published last.
func (s *published) get() (list []running, group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list, s.group
}

package catalog

import "slices"

// requirement is what a lab may require beside labs.
type requirement struct {
	name  string
	needs string // in words, after "needs"
	room  bool   // a namespace of a class has it
}

// requirements are all that there are. Pods have rights on their node if they are privileged or have its network, ports, processes or files.
var requirements = []requirement{
	{"docker", "Docker on this machine", false},
	{"cluster-admin", "all rights in the cluster", false},
	{"node-shell", "a shell on a node", false},
	{"many-nodes", "two nodes", true},
	{"privileged-pods", "pods with rights on their node", false},
	{"own-limits", "a namespace without limits of others", false},
}

// Requirements are the words that 'requires' may have beside labs.
var Requirements = func() (names []string) {
	for _, r := range requirements {
		names = append(names, r.name)
	}
	return names
}()

// Needs returns what one of Requirements is, in words; "" for a lab.
func Needs(name string) string {
	if i := slices.IndexFunc(requirements, func(r requirement) bool { return r.name == name }); i >= 0 {
		return requirements[i].needs
	}
	return ""
}

// Elsewhere returns why the lab is not done in a class, and where it is, in a sentence; "" if it is done there. gives are the
// Requirements that the class meets; nil: those that a namespace of a class meets.
func (l *Lab) Elsewhere(gives []string) string {
	for _, r := range requirements {
		met := r.room
		if gives != nil {
			met = slices.Contains(gives, r.name)
		}
		if !met && l.Has(r.name) {
			return "it needs " + r.needs + ": do it on a cluster of your own (`wheelhouse up`, or the Vagrant machines), with `lab join` to be on the board"
		}
	}
	return ""
}

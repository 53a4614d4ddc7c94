// Package workbench gives each learner of a class a namespace for the labs and a workbench: a pod of the image
// wheelhouse/workbench with a shell, kubectl and the program lab. It makes these objects, removes them, and opens streams
// into the pod: the learner's terminal, and the desk (package desk), which evaluates checks with the learner's own rights.
//
// No command and no check of a learner runs in this process. The package keeps no state: what there is, is in the
// cluster's API. A Manager is safe for concurrent use. A stream ends with its context, and what it started in the pod
// ends then, too. The caller decides who is a learner and which labs are open.
package workbench

import "io"

// Learner is one whose workbench it is.
type Learner struct {
	ID        string // eight of a-z and 0-9
	Namespace string // of the labs: learner-ID
}

// Size is that of a terminal.
type Size struct{ Columns, Rows uint16 }

// Terminal is one end of a terminal. Several may be connected to the same shell.
type Terminal struct {
	In       io.Reader   // what is typed; nil or ended: nothing more is typed, and the terminal goes on
	Out      io.Writer   // what is shown, escape sequences included
	Resize   <-chan Size // the first one is the size at the beginning; nil: 80 columns and 24 rows
	ReadOnly bool        // what is typed is ignored
}

package features_test

import (
	"os"
	"os/exec"
	"testing"

	"wheelhouse/lab-runner/catalog"
)

// student is who works at the labs of a cluster, with a home directory of their own.
type student struct {
	c          *testCluster
	root, home string
}

// lab runs a command of the labs.
func (s student) lab(b *testing.B, args ...string) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), s.c.program, append([]string{"lab", "--labs", s.root, "--kubeconfig", s.c.kubeconfig}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+s.home, "XDG_STATE_HOME="+s.home+"/state", "WHEELHOUSE_CLUSTER="+s.c.name)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("lab %v: %v\n%s", args, err, out)
	}
}

// tracks returns the labs of each track in their order, and the tracks in theirs.
func tracks(b *testing.B) (root string, names []string, labs map[string][]*catalog.Lab) {
	b.Helper()
	root, err := catalog.Root("..")
	if err != nil {
		b.Fatal(err)
	}
	all, err := catalog.Load(root)
	if err != nil {
		b.Fatal(err)
	}
	labs = map[string][]*catalog.Lab{}
	for _, lab := range all {
		if labs[lab.Track] == nil {
			names = append(names, lab.Track)
		}
		labs[lab.Track] = append(labs[lab.Track], lab)
	}
	return root, names, labs
}

// BenchmarkGoto measures `lab goto` to the last step of each track's last lab, for a learner who has not begun it: the
// lab's namespace, and the solutions of all steps before.
func BenchmarkGoto(b *testing.B) {
	root, names, labs := tracks(b)
	c := bringUp(b, "goto", 2)
	for _, track := range names {
		lab := labs[track][len(labs[track])-1]
		step := lab.ID() + "/" + lab.Steps[len(lab.Steps)-1].Name
		b.Run(step, func(b *testing.B) {
			s := student{c, root, b.TempDir()}
			for b.Loop() {
				s.lab(b, "goto", step)
			}
			s.lab(b, "stop", lab.ID()) // the next track finds the machine as this one did
		})
	}
}

// BenchmarkFirstCheck measures the way from `lab start` to the first step's checks for a learner who neither reads nor
// types: the first lab of each track is started, and its first step is done by its commands.
func BenchmarkFirstCheck(b *testing.B) {
	root, names, labs := tracks(b)
	c := bringUp(b, "first", 2)
	for _, track := range names {
		lab := labs[track][0].ID()
		b.Run(lab, func(b *testing.B) {
			s := student{c, root, b.TempDir()}
			for b.Loop() {
				s.lab(b, "start", lab)
				s.lab(b, "solve")
			}
			s.lab(b, "stop", lab)
		})
	}
}

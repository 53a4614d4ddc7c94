package features_test

import (
	"os"
	"os/exec"
	"testing"

	"wheelhouse/lab-runner/catalog"
)

// BenchmarkGoto measures `lab goto` to the last step of each track's last lab, for a learner who has not begun it: the
// lab's namespace, and the solutions of all steps before.
func BenchmarkGoto(b *testing.B) {
	root, err := catalog.Root("..")
	if err != nil {
		b.Fatal(err)
	}
	labs, err := catalog.Load(root)
	if err != nil {
		b.Fatal(err)
	}
	last, tracks := map[string]*catalog.Lab{}, []string{}
	for _, lab := range labs {
		if last[lab.Track] == nil {
			tracks = append(tracks, lab.Track)
		}
		last[lab.Track] = lab
	}
	c := bringUp(b, "goto", 2)
	for _, track := range tracks {
		lab := last[track]
		step := lab.ID() + "/" + lab.Steps[len(lab.Steps)-1].Name
		b.Run(step, func(b *testing.B) {
			home := b.TempDir()
			learner := func(args ...string) {
				cmd := exec.CommandContext(b.Context(), c.program, append([]string{"lab", "--labs", root, "--kubeconfig", c.kubeconfig}, args...)...)
				cmd.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home+"/state", "WHEELHOUSE_CLUSTER="+c.name)
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("lab %v: %v\n%s", args, err, out)
				}
			}
			for b.Loop() {
				learner("goto", step)
			}
			// The next track finds the machine as this one did.
			learner("goto", lab.ID()+"/"+lab.Steps[0].Name)
		})
	}
}

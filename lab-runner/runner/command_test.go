package runner

import (
	"strings"
	"testing"
)

// Each command has its own patience: a learner who checks wants an answer now, a run
// without anybody waits.
func TestPatienceIsEachCommandsOwn(t *testing.T) {
	for name, want := range map[string]string{"run": "1m0s", "check": "2s"} {
		c, _, err := Command().Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Flags().Lookup("patience").Value.String(); got != want {
			t.Errorf("lab %s waits %s, want %s", name, got, want)
		}
	}
}

func TestUnknownCommandIsAnError(t *testing.T) {
	c := Command()
	c.SetArgs([]string{"frob"})
	c.SilenceUsage, c.SilenceErrors = true, true
	if err := c.Execute(); err == nil || !strings.Contains(err.Error(), "frob") {
		t.Errorf("got %v, want an error that names frob", err)
	}
}

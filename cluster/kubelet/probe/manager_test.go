package probe

import "testing"

func TestProbeCounting(t *testing.T) {
	c := counter{successes: 2, failures: 3}
	for i, step := range []struct{ in, want result }{
		{success, unknown},
		{success, success},
		{success, success},
		{failure, unknown},
		{failure, unknown},
		{success, unknown},
		{failure, unknown},
		{failure, unknown},
		{unknown, unknown},
		{failure, failure},
		{failure, failure},
		{success, unknown},
		{success, success},
	} {
		if got := c.add(step.in); got != step.want {
			t.Errorf("step %d: %v gives %v, want %v", i, step.in, got, step.want)
		}
	}
}

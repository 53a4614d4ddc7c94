package kubelet

import (
	"strings"
	"testing"
)

func TestSwapWarning(t *testing.T) {
	for _, c := range []struct{ swap, noSwap, warned bool }{{false, false, false}, {true, true, false}, {true, false, true}} {
		text := swapWarning(c.swap, func() bool { return c.noSwap })
		if warned := strings.HasPrefix(text, "The tmpfs noswap option is not supported."); warned != c.warned || text != "" != c.warned {
			t.Errorf("%+v: %q", c, text)
		}
	}
}

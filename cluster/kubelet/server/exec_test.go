package server

import (
	"io"
	"strings"
	"testing"

	"wheelhouse/cluster/kubelet/cri"
)

// The size of a terminal is a small message.
func TestTerminalSizeWithoutEnd(t *testing.T) {
	endless := &counted{from: io.MultiReader(strings.NewReader(`{"Width":80,"Height":24}{"Width":`), &digits{64 << 20})}
	sizes := make(chan cri.Size, 1)
	decodeSizes(t.Context(), endless, sizes)
	if s := <-sizes; s.Width != 80 || s.Height != 24 {
		t.Errorf("%+v", s)
	}
	if endless.n > 16<<10 {
		t.Errorf("%d bytes of one size were read", endless.n)
	}
}

type digits struct{ left int }

func (d *digits) Read(p []byte) (int, error) {
	if d.left <= 0 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = '1'
	}
	d.left -= len(p)
	return len(p), nil
}

type counted struct {
	from io.Reader
	n    int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += n
	return n, err
}

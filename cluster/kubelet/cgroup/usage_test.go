package cgroup

import (
	"slices"
	"testing"
)

func TestIO(t *testing.T) {
	want := []IO{{Device: "8:0", ReadBytes: 4096, WrittenBytes: 8192, Reads: 1, Writes: 2}, {Device: "8:16", Reads: 3}}
	if got := parseIOStat("8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:16 rios=3\n7:0\n"); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	bytes := "8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\nTotal 12288\n"
	count := "8:0 Read 1\n8:0 Write 2\n8:16 Read 3\nTotal 6\n"
	if got := parseThrottle(bytes, count); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

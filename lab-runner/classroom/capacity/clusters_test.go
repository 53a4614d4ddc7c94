package capacity

import (
	"errors"
	"testing"
)

// Each figure bounds a class of clusters on its own; one that is not known is said, and refuses nobody who joins.
func TestCompareClusters(t *testing.T) {
	enough := Facts{Memory: 20 << 30, Disk: 40 << 30, Processes: 30000, Watches: 8192, Pods: Unknown, Addresses: Unknown, Blocks: 81}
	if list := CompareClusters(enough, 40); !Enough(list) || len(list) != 6 {
		t.Errorf("%+v", list)
	}
	if c := Short(enough, 40); c != nil {
		t.Errorf("%+v", c)
	}
	for name, change := range map[string]func(*Facts){
		"memory":    func(f *Facts) { f.Memory = 9 << 30 },
		"disk":      func(f *Facts) { f.Disk = 10 << 30 },
		"processes": func(f *Facts) { f.Processes = 5000 },
		"inotify":   func(f *Facts) { f.Watches = 100 },
		"addresses": func(f *Facts) { f.Blocks = 39 },
		"port":      func(f *Facts) { f.Listen = errors.New("in use") },
	} {
		f := enough
		change(&f)
		for _, c := range CompareClusters(f, 40) {
			if c.OK == (c.Name == name) || !c.OK && c.Remedy == "" {
				t.Errorf("too little of %s: %+v", name, c)
			}
		}
		c := Short(f, 40)
		if want := name != "port" && name != "inotify"; (c != nil) != want || want && c.Name != name {
			t.Errorf("too little of %s: %+v", name, c)
		}
	}
	unknown := Facts{Memory: Unknown, Disk: Unknown, Processes: Unknown, Watches: Unknown, Blocks: Unknown}
	if Enough(CompareClusters(unknown, 1)) || Short(unknown, 1) != nil {
		t.Errorf("what is not known: %+v", CompareClusters(unknown, 1))
	}
}

package local

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/wait"
)

// A swap that was interrupted between any two of its steps is finished by the next command, and
// what was not decided is taken back.
func TestSettle(t *testing.T) {
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	move := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for done := -1; done <= 2*len(restored); done++ {
		cfg, err := Config{Name: "settle", StateDir: t.TempDir()}.complete()
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(cfg.dir(), restoringDir)
		for _, part := range restored {
			write(t, filepath.Join(cfg.dir(), part, "file"), "old")
			write(t, filepath.Join(dir, stagedDir, part, "file"), "new")
		}
		want := "old"
		if done >= 0 {
			want = "new"
			write(t, filepath.Join(dir, commitFile), "before")
		}
		for i := range done { // as swap does
			part := restored[i/2]
			if i%2 == 0 {
				move(t, filepath.Join(cfg.dir(), part), filepath.Join(dir, formerDir, part))
			} else {
				move(t, filepath.Join(dir, stagedDir, part), filepath.Join(cfg.dir(), part))
			}
		}
		var out bytes.Buffer
		if done >= 0 {
			err = swap(cfg)
		} else if err = settle(t.Context(), cfg, &out); !strings.Contains(out.String(), "before anything was replaced") {
			t.Errorf("it says %q", out.String())
		}
		if err != nil {
			t.Fatalf("after %d steps: %v", done, err)
		}
		for _, part := range restored {
			if got, _ := os.ReadFile(filepath.Join(cfg.dir(), part, "file")); string(got) != want {
				t.Errorf("after %d steps: %s is %q, and not %q", done, part, got, want)
			}
		}
		if left, err := os.ReadDir(cfg.dir()); err != nil || len(left) != 3 {
			t.Errorf("after %d steps: left %v, %v", done, left, err)
		}
	}
}

// What is mounted below a directory is not copied, and what is copied is as it was.
func TestCopyTree(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("mounts need root")
	}
	from, to := t.TempDir(), t.TempDir()
	sh := func(line string) string {
		t.Helper()
		cmd := exec.Command("sh", "-ec", line)
		cmd.Dir = from
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
		return string(out)
	}
	sh("mkdir mnt sub; echo secret >sub/file; chown 33:44 sub/file; chmod 4750 sub/file; ln sub/file hard; ln -s /etc/passwd link; mkfifo pipe; truncate -s 1G sparse; touch -d 2001-02-03 sub; mount --bind sub mnt")
	t.Cleanup(func() { sh("umount mnt") })
	if err := copyTree(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	look := "find . -mindepth 1 ! -path './mnt/*' -printf '%P %y %m %U:%G %n %l %TY\\n' | sort"
	want, got := sh(look), sh("cd "+to+"; "+strings.ReplaceAll(look, "! -path './mnt/*' ", ""))
	want = strings.ReplaceAll(want, "mnt d 755 0:0 2  2001", "mnt d 755 0:0 2  "+time.Now().Format("2006")) // beneath the mount
	if got != want {
		t.Errorf("copied\n%s\nwant\n%s", got, want)
	}
	if out := sh("du -k " + to + "/sparse"); !strings.HasPrefix(out, "0\t") {
		t.Errorf("the holes are filled: %s", out)
	}
	if left, _ := filepath.Glob(filepath.Dir(to) + "/.view-*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// The containers and nodes continue when the process that has stopped them is killed.
func TestThawAtEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "freezer.state")
	if err := os.WriteFile(file, []byte("FROZEN"), 0o600); err != nil {
		t.Fatal(err)
	}
	sleeper := exec.CommandContext(t.Context(), "sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
	node := running{ID: "node/x", PID: sleeper.Process.Pid, Boot: bootID()}
	var err error
	if _, node.Start, err = procStat(node.PID); err != nil {
		t.Fatal(err)
	}
	stop, err := thawAtEnd([]freezer{{file, "FROZEN", "THAWED"}}, []running{node})
	if err != nil {
		t.Fatal(err)
	}
	if err := signalAll([]running{node}, 19); err != nil {
		t.Fatal(err)
	}
	wait.Within(t, time.Minute, "the process to stop", func() error { return wait.Seen(node.state() == stateStopped, node.state()) })
	if err := stop(); err != nil { // it closes the pipe, as the end of this process would
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); string(got) != "THAWED\n" || node.state() != stateRunning {
		t.Errorf("%q, and the node is %s", got, node.state())
	}
}

// Without a whole snapshot there is none.
func TestSnapshotsListsWhatIsWhole(t *testing.T) {
	cfg, err := Config{Name: "list", StateDir: t.TempDir()}.complete()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cfg.dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (record{Name: "list", Subnets: block(0)}).save(cfg.dir()); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"old", "new", ".part", "half"} {
		dir := filepath.Join(cfg.dir(), savedDir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if name == "half" {
			continue
		}
		if err := writeJSON(filepath.Join(dir, manifestFile), Snapshot{Name: name, Taken: time.Unix(int64(i), 0)}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := Snapshots(cfg)
	if err != nil || len(list) != 2 || list[0].Name != "new" || list[1].Name != "old" {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := findSnapshot(cfg, "half"); err == nil || !strings.Contains(err.Error(), `no snapshot "half": it has new, old`) {
		t.Error(err)
	}
	if os.Geteuid() == 0 {
		if _, err := Save(context.Background(), cfg, "../x", false, new(bytes.Buffer)); err == nil {
			t.Error("a path is taken for a name")
		}
	}
}

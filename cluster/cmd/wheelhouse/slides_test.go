package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"wheelhouse/cluster/kubectl"
	"wheelhouse/lab-runner/slides"
)

// TestSlides starts `wheelhouse slides` on this machine alone and on the network, and opens the address that it prints.
func TestSlides(t *testing.T) {
	for name, c := range map[string]struct {
		listen string
		live   bool
	}{"this machine": {"127.0.0.1:0", true}, "the network": {"0.0.0.0:0", false}} {
		t.Run(name, func(t *testing.T) {
			address := strings.Replace(startSlides(t, c.listen), "0.0.0.0", "127.0.0.1", 1)
			status, page := get(t, address, "")
			if status != 200 || strings.Contains(page, " data-live") != c.live || !strings.Contains(page, "Welcome") {
				t.Errorf("%s: %d, live %v:\n%.300s", address, status, !c.live, page)
			}
			if !c.live {
				return
			}
			root := address[:strings.Index(address[len("http://"):], "/")+len("http://")]
			if status, _ := get(t, root+"/workshop/", ""); status != 404 {
				t.Errorf("without the secret: %d", status)
			}
			if status, _ := get(t, address, "evil.example"); status != http.StatusMisdirectedRequest {
				t.Errorf("by another host's name: %d", status)
			}
		})
	}
}

// startSlides runs the command until the test ends, and returns the address that it prints.
func startSlides(t *testing.T, listen string) string {
	t.Helper()
	in, out := io.Pipe()
	c := slidesCommand()
	c.SetArgs([]string{"--listen", listen, "--open", "workshop", "--labs", "../../.."})
	c.SetOut(out)
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		err := c.ExecuteContext(ctx)
		if ctx.Err() == nil {
			t.Errorf("wheelhouse slides: %v", err)
		}
		_ = out.CloseWithError(err)
	})
	t.Cleanup(func() { stop(); done.Wait() })
	line := make([]byte, 200)
	n, err := in.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(line[:n]))
}

// get asks for a page, under another host's name if that is not empty.
func get(t *testing.T, address, host string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body.String()
}

// TestSlidesCommandsExist checks the commands of slides that belong to no lab: they are commands of wheelhouse or kubectl
// with flags of today. Those of slides with a lab are in its text, which `lab test` runs (slides.Lint).
func TestSlidesCommandsExist(t *testing.T) {
	files := os.DirFS("../../../slides")
	tracks, err := slides.Tracks(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, track := range tracks {
		for _, lang := range slides.Languages(files, track) {
			d, err := slides.Read(files, track, lang)
			if err != nil {
				t.Fatal(err)
			}
			for _, command := range slides.Free(d) {
				if err := exists(command); err != "" {
					t.Errorf("%s (%s): %q: %s", track, lang, command, err)
				}
			}
		}
	}
	for _, none := range []string{"wheelhouse dwn", "wheelhouse up --knodes 2", "kubectl gett pods", "kubectl get pods --al", "reboot"} {
		if exists(none) == "" {
			t.Errorf("%q exists", none)
		}
	}
}

// exists returns why a command does not exist, or "".
func exists(line string) string {
	words := strings.Fields(line)
	var top *cobra.Command
	switch words[0] {
	case "wheelhouse":
		top = root()
	case "kubectl":
		var err error
		if top, err = kubectl.Command(words[1:], ""); err != nil {
			return err.Error()
		}
	default:
		return "neither a command of wheelhouse nor of kubectl"
	}
	c, rest, err := top.Find(words[1:])
	if err != nil {
		return err.Error()
	}
	if c == top && len(words) > 1 {
		return "no such command"
	}
	if err := c.ParseFlags(rest); err != nil {
		return err.Error()
	}
	return ""
}

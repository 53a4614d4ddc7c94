package consent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/fetch"
	"wheelhouse/lab-runner/render"
	"wheelhouse/lab-runner/script"
)

// Summary is what a lab runs. Everything in it comes from the lab, and is printed by render.Visible.
type Summary struct {
	Lab       *catalog.Lab
	Checksum  string // of all its files
	Manifests string // checksum of its manifests, as fetch has it
	Objects   map[string]int
	Files     []string // of the manifests
	Beyond    []string // what the manifests ask for and 'requires' does not allow
}

// Examine reads all files of a lab, remote manifests too, and returns what it runs. A link among the files, manifests
// outside of the lab's tree, and what package fetch refuses, are errors.
func Examine(ctx context.Context, lab *catalog.Lab) (*Summary, error) {
	s := &Summary{Lab: lab, Objects: map[string]int{}}
	folder, err := fetch.Pin(ctx, fetch.Config{Source: absolute(lab.Dir)})
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", lab.ID(), err)
	}
	if info, err := os.Lstat(lab.Feature); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("lab %s: %s is no file (%w)", lab.ID(), lab.Feature, err)
	}
	feature, err := os.ReadFile(lab.Feature)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "lab-manifests-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	manifests := fetch.Config{Source: lab.Manifests.Source, Checksum: lab.Manifests.Checksum, Base: lab.Dir, Dst: filepath.Join(tmp, "m")}
	if err := within(lab); err != nil {
		return nil, err
	}
	if err := fetch.Fetch(ctx, manifests); err != nil {
		return nil, fmt.Errorf("lab %s: %w", lab.ID(), err)
	}
	if s.Manifests, err = fetch.Pin(ctx, fetch.Config{Source: manifests.Dst}); err != nil {
		return nil, err
	}
	if err := s.readManifests(manifests.Dst); err != nil {
		return nil, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%x\n%s\n", lab.ID(), folder, sha256.Sum256(feature), s.Manifests)
	s.Checksum = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return s, nil
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// within returns an error unless the lab's manifests are in its own tree or on an https address: a directory elsewhere has
// the learner's own files.
func within(lab *catalog.Lab) error {
	from := lab.Manifests.Source
	if strings.Contains(from, ":") {
		if strings.HasPrefix(from, "git::file:") {
			return fmt.Errorf("lab %s: its manifests are to be taken from this machine, from %s: a lab of somebody else has them with it, or at an https address", lab.ID(), from)
		}
		return nil
	}
	root, err := real(lab.Root())
	if err != nil {
		return err
	}
	if !filepath.IsAbs(from) {
		from = filepath.Join(lab.Dir, from)
	}
	if from, err = real(from); err != nil {
		return fmt.Errorf("lab %s: manifests: %w", lab.ID(), err)
	}
	if !inside(root, from) {
		return fmt.Errorf("lab %s: its manifests are to be taken from %s, outside of the lab's own tree", lab.ID(), from)
	}
	return nil
}

// Write prints the summary for a learner who is to agree.
func (s *Summary) Write(out io.Writer, user string) error {
	p := &printer{}
	lab := s.Lab
	p.line("Lab %s, %q, did not come with this program, and you have not said that you write it.", lab.ID(), lab.Title)
	p.line("It lies in %s.", lab.Dir)
	p.line("")
	p.line("What follows is all that it runs. Its commands and checks are shell commands: they run here, on this machine, as you")
	p.line("(user %s). They can read, change and send whatever you can. Only the rights in the cluster are limited:", user)
	for _, l := range s.rights() {
		p.line("  - %s", l)
	}
	p.line("")
	p.list("programs", lab.Needs)
	p.list("images", lab.Images)
	var objects []string
	for kind, n := range s.Objects {
		objects = append(objects, fmt.Sprintf("%d %s", n, kind))
	}
	sort.Strings(objects)
	p.list("objects", objects)
	p.line("files of the manifests (from %s): %s", lab.Manifests.Source, strings.Join(s.Files, ", "))
	p.line("")
	p.line("Commands:")
	for i := range lab.Steps {
		step := &lab.Steps[i]
		p.line("  %s", step.Title)
		p.command("setup", step.Setup)
		for _, c := range step.Commands {
			if c.Kind == script.Command {
				p.command("", c.Text)
			}
		}
		p.command("solve", step.Solve)
		p.command("break", step.Break)
	}
	if lab.Cleanup != "" {
		p.line("  before and after the lab")
		p.command("", lab.Cleanup)
	}
	p.line("Checks:")
	for _, sc := range lab.Scenarios {
		for _, sentence := range sc.Steps {
			p.line("  %s", sentence.Text)
			p.indented(sentence.Doc)
		}
	}
	p.line("")
	p.line("checksum: %s", s.Checksum)
	_, err := io.WriteString(out, p.b.String())
	return err
}

// rights says what the lab may do in the cluster.
func (s *Summary) rights() []string {
	lab := s.Lab
	var out []string
	if lab.Has("cluster-admin") {
		out = append(out, "cluster-admin: its kubectl has all rights of your kubeconfig, in the whole cluster")
	} else {
		out = append(out, "its kubectl works in namespace "+lab.Namespace+" alone, with an account made for it")
	}
	switch {
	case lab.Has("privileged-pods"):
		out = append(out, "privileged-pods: its pods may be privileged, use the node's network and processes, and mount the node's files: they can take over a node")
	case !lab.Has("cluster-admin"):
		out = append(out, "its pods may not be privileged, nor use the node's network, processes or files")
	}
	if lab.Has("docker") {
		out = append(out, "docker: it runs containers on this machine, which is as much as being root here")
	}
	if lab.Has("node-shell") {
		out = append(out, "node-shell: it runs commands on nodes, as root")
	}
	return out
}

// Refusal returns an error if the lab asks for more than its 'requires' says.
func (s *Summary) Refusal() error {
	if len(s.Beyond) == 0 {
		return nil
	}
	return fmt.Errorf("lab %s is not run: %w", s.Lab.ID(), errors.New(render.Visible(strings.Join(s.Beyond, "; "))))
}

// printer collects lines in which a terminal obtains no command.
type printer struct{ b strings.Builder }

func (p *printer) line(format string, args ...any) {
	for i, a := range args {
		if text, ok := a.(string); ok {
			args[i] = oneLine(text)
		}
	}
	fmt.Fprintf(&p.b, format+"\n", args...)
}

// oneLine shows a text in one line: a line feed in it could begin a line that looks like one of ours.
func oneLine(text string) string {
	return strings.ReplaceAll(render.Visible(strings.TrimSpace(text)), "\n", `\n`)
}

func (p *printer) list(name string, items []string) {
	if len(items) > 0 {
		p.line("%s: %s", name, strings.Join(items, ", "))
	}
}

// command prints the lines of a command.
func (p *printer) command(what, text string) {
	text = strings.TrimSpace(text)
	if text == "" {
		return
	}
	if what != "" {
		p.line("    (%s)", what)
	}
	for i, l := range strings.Split(render.Visible(text), "\n") {
		mark := "> "
		if i == 0 {
			mark = "$ "
		}
		p.b.WriteString("    " + mark + l + "\n")
	}
}

func (p *printer) indented(text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		p.b.WriteString("      " + strings.ReplaceAll(render.Visible(text), "\n", "\n      ") + "\n")
	}
}

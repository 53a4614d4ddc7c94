package runner

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"wheelhouse/lab-runner/catalog"
)

// template is the lab that 'lab new' makes. NAME in paths and texts stands for the name of the lab.
//
//go:embed template
var template embed.FS

var newLab = regexp.MustCompile(`^([a-z][a-z0-9-]{0,40})/([a-z][a-z0-9-]{0,40})$`)

func (s *settings) new() *cobra.Command {
	return &cobra.Command{
		Use: "new TRACK/NAME", Short: "make a lab to write", Args: cobra.ExactArgs(1),
		Long: "New makes a small lab, the last one of its track: it passes 'lab lint' and 'lab test'. Change it step by step.",
		RunE: func(c *cobra.Command, args []string) error {
			m := newLab.FindStringSubmatch(args[0])
			if m == nil {
				return fmt.Errorf("%q is not TRACK/NAME, both of lower-case letters, digits and hyphens", args[0])
			}
			root, err := catalog.Root(s.root)
			if err != nil {
				return err
			}
			made, err := makeLab(root, m[1], m[2])
			if err != nil {
				return err
			}
			for _, path := range made {
				fmt.Fprintln(c.OutOrStdout(), path)
			}
			fmt.Fprintf(c.OutOrStdout(), "'lab lint %s' and 'lab test %s' pass. lab-runner/README.md says what may stand in the files.\n", args[0], args[0])
			return nil
		},
	}
}

// makeLab writes the files of a new lab, and returns their paths. A file that exists is an error, and nothing is left.
func makeLab(root, track, name string) (made []string, err error) {
	dir, err := labDir(root, track, name)
	if err != nil {
		return nil, err
	}
	feature := filepath.Join(root, "features", track, name+".feature")
	if _, err := os.Stat(feature); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is there already (%w)", feature, fs.ErrExist)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir), os.RemoveAll(feature))
		}
	}()
	err = fs.WalkDir(template, "template", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := template.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(path, "template/"), "NAME", name))
		if filepath.Ext(to) == ".feature" {
			to = feature
		}
		made = append(made, to)
		body := strings.ReplaceAll(string(text), "NAME", name)
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, []byte(body), 0o644))
	})
	return made, err
}

// labDir returns the directory for the next lab of the track.
func labDir(root, track, name string) (string, error) {
	found, err := filepath.Glob(filepath.Join(root, "labs", track, "[0-9][0-9]-*"))
	if err != nil {
		return "", err
	}
	last := 0
	for _, path := range found {
		base := filepath.Base(path)
		if base[3:] == name {
			return "", fmt.Errorf("%s is there already (%w)", path, fs.ErrExist)
		}
		n, err := strconv.Atoi(base[:2])
		if err != nil {
			return "", err
		}
		last = max(last, n)
	}
	if last == 99 {
		return "", fmt.Errorf("the track %s has a lab 99: no number is left", track)
	}
	return filepath.Join(root, "labs", track, fmt.Sprintf("%02d-%s", last+1, name)), nil
}

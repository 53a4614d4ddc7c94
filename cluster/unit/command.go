package unit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// Command is `wheelhouse install`. The flags after the role are those of the role's command, which parses them when
// it starts.
func Command() *cobra.Command {
	return &cobra.Command{
		Use:   "install server|node [flags of the server or node]",
		Short: "Install the server or a node as a service of systemd, with its flags",
		Long: "Write the unit of a server or a node with the flags that follow, start it, and have it start with the machine.\n" +
			"`wheelhouse uninstall` removes it. A --token is kept in a file that root alone can read.",
		Example:            "  wheelhouse install server --address 192.168.1.10\n  wheelhouse install node --server https://192.168.1.10:6443 --token T --ca-pin P",
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] != "server" && args[0] != "node" {
				return c.Help()
			}
			if os.Geteuid() != 0 {
				return errors.New("install writes a unit of systemd and needs root: run it with sudo")
			}
			m := &Machine{Out: c.OutOrStdout()}
			if err := m.systemd(); err != nil {
				return err
			}
			flags, err := m.keepToken(args[0], args[1:])
			if err != nil {
				return err
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			return m.Install(c.Context(), Service{Role: args[0], Program: program, Args: flags})
		},
	}
}

// keepToken replaces the --token of a role by a --token-file with it: any user can read a unit.
func (m *Machine) keepToken(role string, args []string) (flags []string, err error) {
	for i := 0; i < len(args); i++ {
		token, is := strings.CutPrefix(args[i], "--token=")
		if args[i] == "--token" && i+1 < len(args) {
			i++
			token, is = args[i], true
		}
		if !is {
			flags = append(flags, args[i])
			continue
		}
		path := m.tokenPath(role)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("keep the token: %w", err)
		}
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("keep the token: %w", err)
		}
		flags = append(flags, "--token-file", path)
	}
	return flags, nil
}

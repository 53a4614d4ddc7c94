package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

const (
	addonsDir = share + "/addons"
	noRole    = "none"
)

// Addons lists the names of the add-ons.
func (m *Machine) Addons() ([]string, error) {
	files, err := m.list(addonsDir)
	var names []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(f, addonsDir+"/"), ".yaml"); ok {
			names = append(names, name)
		}
	}
	return names, err
}

// EnableAddon applies an add-on's manifest. It runs on the master.
func (m *Machine) EnableAddon(ctx context.Context, name string) error {
	if err := m.addon(ctx, name, "apply"); err != nil {
		return err
	}
	m.say("Add-on %s enabled", name)
	return nil
}

// DisableAddon deletes what the manifest of an add-on has made.
func (m *Machine) DisableAddon(ctx context.Context, name string) error {
	if err := m.addon(ctx, name, "delete", "--ignore-not-found"); err != nil {
		return err
	}
	m.say("Add-on %s disabled", name)
	return nil
}

func (m *Machine) addon(ctx context.Context, name string, verb ...string) error {
	names, err := m.Addons()
	if err != nil {
		return err
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("there is no add-on %q; there are: %s", name, strings.Join(names, ", "))
	}
	admin := m.path(m.stateDir() + "/" + adminFile)
	if _, err := os.Stat(admin); errors.Is(err, os.ErrNotExist) {
		return errors.New("this machine is no master: run this on the master")
	}
	out, err := m.Kubectl(ctx, admin, append(verb, "-f", m.path(addonsDir+"/"+name+".yaml"))...)
	fmt.Fprint(m.Out, out)
	return err
}

// role returns what the machine is enabled as: "master", "worker" or noRole.
func (m *Machine) role(ctx context.Context) (string, error) {
	if m.enabled(ctx, serverUnit) {
		return "master", nil
	}
	if m.enabled(ctx, nodeUnit) {
		return "worker", nil
	}
	return noRole, ctx.Err()
}

// enabled reports whether a unit is enabled: systemctl's answer has an error for each other
// state.
func (m *Machine) enabled(ctx context.Context, unit string) bool {
	out, err := m.Run(ctx, false, "systemctl", "is-enabled", unit)
	return err == nil && strings.TrimSpace(out) == "enabled"
}

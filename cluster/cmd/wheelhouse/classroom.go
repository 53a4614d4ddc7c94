package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/local"
	"wheelhouse/lab-runner/classroom/capacity"
	"wheelhouse/lab-runner/classroom/roster"
	"wheelhouse/lab-runner/classroom/server"
	"wheelhouse/lab-runner/classroom/workbench"
	"wheelhouse/lab-runner/render"
)

// classroomFlags say whose class is meant: that of a kubeconfig, or of a cluster of this machine.
type classroomFlags struct {
	clusterFlags
	kubeconfig string
}

func (f *classroomFlags) registerAll(c *cobra.Command) {
	f.register(c)
	c.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "an administrator's kubeconfig (default: that of the cluster of this machine)")
}

func (f *classroomFlags) path() string {
	if f.kubeconfig != "" {
		return f.kubeconfig
	}
	return local.KubeconfigPath(f.name, f.stateDir)
}

// dataDirs are the directories of containers and of the cluster.
func (f *classroomFlags) dataDirs() []string { return []string{"/var/lib/docker", f.stateDir} }

func (f *classroomFlags) connect() (*rest.Config, kubernetes.Interface, error) {
	if f.kubeconfig == "" && existing(f.path()) == "" {
		return nil, nil, local.ErrNoCluster
	}
	rc, err := client.FromKubeconfig(f.path())
	if err != nil {
		return nil, nil, err
	}
	cs, err := kubernetes.NewForConfig(rc)
	return rc, cs, err
}

// open returns the class of the cluster, which must exist.
func (f *classroomFlags) open(c *cobra.Command) (*roster.Roster, *rest.Config, error) {
	rc, cs, err := f.connect()
	if err != nil {
		return nil, nil, err
	}
	there, err := roster.Exists(c.Context(), cs, "")
	if err == nil && !there {
		err = errors.New("this cluster has no class; `wheelhouse classroom serve` starts one")
	}
	if err != nil {
		return nil, nil, err
	}
	r, err := roster.Open(c.Context(), roster.Config{Client: cs}, func() roster.Class { return roster.Class{} })
	return r, rc, err
}

func classroomCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "classroom", Short: "A class: pages, terminals and a board for a room of learners, on one cluster", Args: knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(classroomServe(), classroomStatus(), classroomPassword(), classroomForget(), classroomExport(), classroomDoctor())
	return c
}

func classroomStatus() *cobra.Command {
	var f classroomFlags
	c := &cobra.Command{Use: "status", Short: "Show the room's code, and who is in the class", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		r, _, err := f.open(c)
		if err != nil {
			return err
		}
		code, err := r.Code(c.Context())
		if err != nil {
			return err
		}
		out := c.OutOrStdout()
		fmt.Fprintf(out, "the room's code: %s\n%d learners\n", code, r.Count())
		for _, l := range r.Learners() {
			at := "has not started a lab"
			if l.At.Lab != "" {
				at = fmt.Sprintf("%s, step %d of %d: %d checks done, %d to do, %d lost", l.At.Lab, l.At.Step+1, l.At.Steps, l.At.Done, l.At.Todo, l.At.Lost)
			}
			fmt.Fprintf(out, "  %s  %-20s %s\n", l.ID, render.Visible(l.Name), render.Visible(at))
		}
		return nil
	}}
	f.registerAll(c)
	return c
}

func classroomPassword() *cobra.Command {
	var f classroomFlags
	c := &cobra.Command{Use: "password", Short: "Make a password of the instructor, for one login", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		r, _, err := f.open(c)
		if err != nil {
			return err
		}
		password, err := r.NewPassword(c.Context())
		if err == nil {
			fmt.Fprintln(c.OutOrStdout(), password)
		}
		return err
	}}
	f.registerAll(c)
	return c
}

func classroomForget() *cobra.Command {
	var f classroomFlags
	c := &cobra.Command{Use: "forget", Short: "Remove all learners: names, progress, credentials and workbenches", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		r, rc, err := f.open(c)
		if err != nil {
			return err
		}
		benches, err := workbench.New(workbench.Config{REST: rc})
		if err != nil {
			return err
		}
		_, cs, err := f.connect()
		if err != nil {
			return err
		}
		own := learnerClusters{} // of learners with a cluster of their own
		maker, err := own.maker(c.Context(), &f, cs)
		if err != nil {
			return err
		}
		places := bothPlaces{own.pool(&f, cs, r, maker), benches}
		var all error
		for _, l := range r.Learners() {
			at := workbench.Learner{ID: l.ID, Namespace: "learner-" + l.ID}
			err := places.Remove(c.Context(), at)
			if err == nil {
				err = r.Remove(c.Context(), l.ID)
			}
			if err == nil { // a class that is served has given them another place meanwhile
				err = places.Remove(c.Context(), at)
			}
			if err != nil {
				all = errors.Join(all, fmt.Errorf("learner %s: %w", l.ID, err))
				continue
			}
			fmt.Fprintf(c.OutOrStdout(), "learner %s is removed\n", l.ID)
		}
		return errors.Join(all, r.UpdateClass(c.Context(), func(k *roster.Class) { k.Message = "" }))
	}}
	f.registerAll(c)
	return c
}

func classroomExport() *cobra.Command {
	var f classroomFlags
	c := &cobra.Command{Use: "export", Short: "Print who is where as a table (CSV)", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		r, _, err := f.open(c)
		if err != nil {
			return err
		}
		table, err := server.CSV(r)
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(table)
		return err
	}}
	f.registerAll(c)
	return c
}

func classroomDoctor() *cobra.Command {
	var f classroomFlags
	var output string
	var own learnerClusters
	learners, listen := 40, defaultClassListen
	c := &cobra.Command{Use: "doctor", Short: "Compare what so many learners need with what this machine and its cluster have", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		if err := own.checkMode(); err != nil {
			return err
		}
		place := capacity.Place{Data: f.dataDirs(), Listen: listen}
		if _, cs, err := f.connect(); err == nil {
			place.Client = cs
		}
		facts := capacity.Look(c.Context(), place)
		list := capacity.Compare(facts, learners)
		if own.wanted() {
			facts.Blocks = own.facts(&f).Blocks
			list = capacity.CompareClusters(facts, learners)
		}
		if err := show(c.OutOrStdout(), output, list, func(w io.Writer) error { capacity.Print(w, list); return nil }); err != nil {
			return err
		}
		if !capacity.Enough(list) {
			return fmt.Errorf("a class of %d learners does not fit yet; the remedies are above", learners)
		}
		return nil
	}}
	f.registerAll(c)
	outputFlag(c, &output)
	c.Flags().IntVar(&learners, "learners", learners, "how many learners there will be")
	own.modeFlag(c)
	c.Flags().StringVar(&listen, "listen", listen, "the address and port of the class")
	return c
}

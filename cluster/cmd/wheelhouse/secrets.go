package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/store/encryption"
)

func secretsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "secrets",
		Short: "Manage the keys with which Secrets are encrypted in etcd",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(rotateKeyCommand())
	return c
}

const rotateKeyHelp = `Replace the key with which Secrets, or what else the configuration names, are encrypted in etcd.

It adds a new key, writes every object again and removes the old key, while the server runs. It can be interrupted at any point: every
object stays readable, and running it again completes the rotation.

With several masters give one step at a time, in this order, and copy the file to every master before the next:
  --step add      adds a key that the servers read with
  --step use      makes the servers write with it
  --step rewrite  writes every object again
  --step drop     removes the other keys`

func rotateKeyCommand() *cobra.Command {
	r := rotation{kubeconfig: kubeconfig()}
	c := &cobra.Command{
		Use: "rotate-key", Short: "Replace the key and write every Secret again", Long: rotateKeyHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r.out = c.OutOrStdout()
			return r.run(c.Context())
		},
	}
	c.Flags().StringVar(&r.kubeconfig, "kubeconfig", r.kubeconfig, "the kubeconfig with the API server and the credentials")
	c.Flags().StringVar(&r.path, "encryption-provider-config", "", "the server's EncryptionConfiguration (default: pki/"+encryptionFile+" beside the kubeconfig)")
	c.Flags().StringVar(&r.step, "step", "", "one step only: add, use, rewrite or drop")
	return c
}

// rotation replaces keys. Each change of the file is one step.
type rotation struct {
	kubeconfig, path, step string
	out                    io.Writer
	rc                     *rest.Config
}

func (r *rotation) run(ctx context.Context) (err error) {
	if r.kubeconfig == "" {
		return errNoKubeconfig
	}
	if r.path == "" {
		r.path = filepath.Join(filepath.Dir(r.kubeconfig), "pki", encryptionFile)
	}
	if r.rc, err = client.FromKubeconfig(r.kubeconfig); err != nil {
		return err
	}
	r.rc.QPS = -1
	switch r.step {
	case "":
		return r.all(ctx)
	case "add":
		return r.edit(ctx, "a new key is read with", (*encryption.Configuration).AddKey)
	case "use":
		return r.edit(ctx, "the new key is written with", use)
	case "rewrite":
		return r.rewrite(ctx)
	case "drop":
		return r.edit(ctx, "the old keys are dropped", drop)
	}
	return fmt.Errorf("--step %q: want add, use, rewrite or drop", r.step)
}

func use(c *encryption.Configuration, _ time.Time) error  { return c.UseKey() }
func drop(c *encryption.Configuration, _ time.Time) error { return c.DropKeys() }

// all runs all steps. The last one removes a key that an interrupted rotation has added, too.
func (r *rotation) all(ctx context.Context) error {
	if err := r.alone(ctx); err != nil {
		return err
	}
	err := r.edit(ctx, "a new key is written with", func(c *encryption.Configuration, now time.Time) error {
		return errors.Join(c.AddKey(now), c.UseKey())
	})
	if err != nil {
		return err
	}
	if err := r.rewrite(ctx); err != nil {
		return err
	}
	return r.edit(ctx, "the old keys are dropped", drop)
}

// alone returns an error for a cluster of several masters: those without the new key could
// not read what is written with it.
func (r *rotation) alone(ctx context.Context) error {
	cs, err := kubernetes.NewForConfig(r.rc)
	if err != nil {
		return err
	}
	found, err := cs.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes"})
	if err != nil {
		return fmt.Errorf("listing the API servers: %w", err)
	}
	masters := 0
	for i := range found.Items {
		masters += len(found.Items[i].Endpoints)
	}
	if masters > 1 {
		return fmt.Errorf("there are %d masters: give one --step at a time and copy %s to each before the next (see --help)", masters, r.path)
	}
	return nil
}

// edit changes the file and returns when the server uses it.
func (r *rotation) edit(ctx context.Context, done string, change func(*encryption.Configuration, time.Time) error) error {
	c, _, err := encryption.Read(r.path)
	if err != nil {
		return err
	}
	if err := change(c, time.Now()); err != nil {
		return err
	}
	if err := encryption.Write(r.path, c); err != nil {
		return err
	}
	if err := r.inUse(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.out, done)
	return err
}

// reloadPatience is the timeout for the server to load a new file.
const reloadPatience = 30 * time.Second

// inUse returns when the server uses the current file.
func (r *rotation) inUse(ctx context.Context) error {
	_, hash, err := encryption.Read(r.path)
	if err != nil {
		return err
	}
	cs, err := kubernetes.NewForConfig(r.rc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reloadPatience)
	defer cancel()
	want := fmt.Appendf(nil, "%s{hash=%q} 1\n", encryption.LoadedMetric, hash)
	for {
		metrics, err := cs.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
		if err == nil && bytes.Contains(metrics, want) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the server at %s does not use %s as it is now: it needs --encryption-provider-config-automatic-reload, or a restart; then run this again", r.rc.Host, r.path), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// rewrite updates every object of the configured resources without a change: the server
// writes again what is not encrypted with the first key.
func (r *rotation) rewrite(ctx context.Context) error {
	if err := r.inUse(ctx); err != nil {
		return err
	}
	resources, err := r.encrypted()
	if err != nil {
		return err
	}
	objects, err := metadata.NewForConfig(r.rc)
	if err != nil {
		return err
	}
	n := 0
	for _, resource := range resources {
		list := metav1.ListOptions{Limit: 500}
		for more := true; more; more = list.Continue != "" {
			page, err := objects.Resource(resource).List(ctx, list)
			if err != nil {
				return fmt.Errorf("listing %s: %w", resource.Resource, err)
			}
			for i := range page.Items {
				o := &page.Items[i]
				_, err := objects.Resource(resource).Namespace(o.Namespace).Patch(ctx, o.Name, types.MergePatchType, []byte("{}"), metav1.PatchOptions{})
				if err != nil && !apierrors.IsNotFound(err) {
					return fmt.Errorf("writing %s %s/%s again: %w", resource.Resource, o.Namespace, o.Name, err)
				}
				n++
			}
			list.Continue = page.Continue
		}
	}
	_, err = fmt.Fprintf(r.out, "%d objects are encrypted with it\n", n)
	return err
}

// encrypted returns the resources that the configuration names and the server serves.
func (r *rotation) encrypted() (found []schema.GroupVersionResource, err error) {
	c, _, err := encryption.Read(r.path)
	if err != nil {
		return nil, err
	}
	of, err := c.Transformers()
	if err != nil {
		return nil, err
	}
	cs, err := kubernetes.NewForConfig(r.rc)
	if err != nil {
		return nil, err
	}
	lists, err := cs.Discovery().ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("finding the resources: %w", err)
	}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			gvr := gv.WithResource(resource.Name)
			if slices.Contains(resource.Verbs, "patch") && slices.Contains(resource.Verbs, "list") && of(gvr.GroupResource()) != nil {
				found = append(found, gvr)
			}
		}
	}
	return found, nil
}

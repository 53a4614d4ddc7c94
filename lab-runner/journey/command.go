package journey

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/lab-runner/objects"
	"wheelhouse/lab-runner/render"
	"wheelhouse/lab-runner/why"
)

// The bounds of what is read: bytes of an answer, and owners above an object.
const (
	mostBytes  = 8 << 20
	mostOwners = 4
	mostTime   = 15 * time.Second
)

// Command returns the command journey. fallback is as for why.Command.
func Command(fallback func() string) *cobra.Command {
	var place why.Place
	var output string
	c := &cobra.Command{
		Use:   "journey KIND/NAME",
		Short: "what happened to an object and to its owners, in the order of time",
		Long: "Journey reports what the cluster's records say of an object and of its owners: the last writes (who asked for them, with which\n" +
			"program, what admission changed or refused), the scheduler's decisions with each node's score or reason, writers of fields,\n" +
			"conditions, containers, events. Times are those of the records, many of them of whole seconds. It changes nothing.",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("--output %s is not supported: use --output json", output)
			}
			target, err := why.ParseTarget(args)
			if err != nil {
				return err
			}
			config, namespace, err := place.Open(fallback)
			if err != nil {
				return err
			}
			client, err := objects.New(config)
			if err != nil {
				return fmt.Errorf("the kubeconfig: %w", err)
			}
			ctx, cancel := context.WithTimeout(c.Context(), mostTime)
			defer cancel()
			found, events, err := gather(ctx, client, namespace, target)
			if err != nil {
				return err
			}
			return print(c.OutOrStdout(), Tell(found, events), output == "json")
		},
	}
	place.Register(c)
	c.Flags().StringVarP(&output, "output", "o", "", "json: for programs")
	return c
}

// gather reads an object, its owners, and the events of them all.
func gather(ctx context.Context, client *objects.Client, namespace string, t why.Target) (found []Object, events []corev1.Event, err error) {
	for kind, name := t.Kind, t.Name; name != "" && len(found) <= mostOwners; {
		path := t.Path(namespace)
		if kind != t.Kind || name != t.Name {
			path = why.Target{Kind: kind, Name: name}.Path(namespace)
		}
		if path == "" {
			break
		}
		text, err := client.Read(ctx, path, nil, "", mostBytes)
		if err != nil {
			if len(found) > 0 {
				break // an owner that is gone
			}
			return nil, nil, err
		}
		var o Object
		if err := json.Unmarshal(text, &o); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		o.Kind = kind
		if text, err := client.Read(ctx, path, url.Values{"journal": {"true"}}, "", mostBytes); err == nil { // another server answers with the object
			o.Journal = readJournal(text)
		}
		if kind == "Pod" && o.Spec.NodeName != "" { // who has no right to the node reads less
			at := "/api/v1/nodes/" + url.PathEscape(o.Spec.NodeName) + "/proxy/journal/" + url.PathEscape(string(o.UID))
			if text, err := client.Read(ctx, at, nil, "", mostBytes); err == nil {
				o.Journal = append(o.Journal, readJournal(text)...)
			}
		}
		found = append(found, o)
		var list corev1.EventList
		query := url.Values{"fieldSelector": {"involvedObject.kind=" + kind + ",involvedObject.name=" + name}, "limit": {"200"}}
		if text, err := client.Read(ctx, "/api/v1/namespaces/"+eventsIn(o, namespace)+"/events", query, "", mostBytes); err == nil && json.Unmarshal(text, &list) == nil {
			events = append(events, list.Items...)
		}
		kind, name = "", ""
		if by := metav1.GetControllerOf(&o); by != nil {
			kind, name = by.Kind, by.Name
		}
	}
	slices.Reverse(found) // the owners come first: of one second, what made an object stands before it
	return found, events, nil
}

// eventsIn is the namespace of an object's events.
func eventsIn(o Object, namespace string) string {
	if o.Namespace == "" {
		return metav1.NamespaceDefault
	}
	return namespace
}

// print writes entries with the time since the first one.
func print(out io.Writer, entries []Entry, asJSON bool) error {
	if asJSON {
		text, err := json.MarshalIndent(entries, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, string(text))
		return err
	}
	var b strings.Builder
	object := ""
	for _, e := range entries {
		if e.Object != object {
			object = e.Object
			fmt.Fprintln(&b, render.Visible(object))
		}
		by := ""
		if e.By != "" {
			by = " [" + e.By + "]"
		}
		fmt.Fprintf(&b, "  %s +%8.3fs  %s%s\n", e.Time.Format("15:04:05.000"), e.Time.Sub(entries[0].Time).Seconds(), render.Visible(strings.ReplaceAll(e.Text, "\n", " ")), render.Visible(by))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

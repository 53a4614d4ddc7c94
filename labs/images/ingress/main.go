// Ingress is a small Ingress controller for the labs: it watches the cluster's Ingresses
// and services, writes nginx's settings from them, and reloads nginx. One nginx
// then leads requests, by host and path, to services. Of an Ingress it takes the rules and
// the default backend; it does no TLS.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	typednetworkingv1 "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

var version = "1.0.0" // the image's tag; build.sh sets it

// settle is how long the controller waits after a change for what comes with it.
const settle = 100 * time.Millisecond

// settingsFile is what nginx's own settings include.
const settingsFile = "/etc/nginx/conf.d/ingress.conf"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	namespace := flag.String("namespace", "", "the namespace whose Ingresses count; empty: all")
	class := flag.String("class", "nginx", "the class of the Ingresses that count, beside those without one")
	drain := flag.Duration("drain", 3*time.Second, "how long to go on serving after the signal to end")
	flag.Parse()
	err := run(ctx, *namespace, *class, *drain)
	stop()
	if err != nil {
		slog.Error("ingress ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, namespace, class string, drain time.Duration) error {
	c, err := watch(ctx, namespace, class)
	if err != nil {
		return err
	}
	slog.Info("ingress begins", "version", version, "namespace", namespace, "class", class)
	written := ""
	if err := c.write(&written); err != nil {
		return err
	}
	// Its own context: nginx keeps running for a while when this program is stopped.
	nginx := exec.Command("nginx", "-g", "daemon off;")
	nginx.Stdout, nginx.Stderr = os.Stdout, os.Stderr
	if err := nginx.Start(); err != nil {
		return fmt.Errorf("starting nginx: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- nginx.Wait() }()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("nginx has ended: %w", errors.Join(err, ctx.Err()))
		case <-ctx.Done():
			time.Sleep(drain)
			if err := nginx.Process.Signal(syscall.SIGQUIT); err != nil {
				return fmt.Errorf("ending nginx: %w", err)
			}
			return <-ended
		case <-c.changed:
			time.Sleep(settle)
			before := written
			if err := c.write(&written); err != nil {
				return err
			}
			if written == before {
				continue
			}
			if out, err := exec.Command("nginx", "-s", "reload").CombinedOutput(); err != nil {
				// Such as in its first moment, when it cannot be signalled yet.
				slog.Error("nginx does not take the settings", "error", err, "output", string(bytes.TrimSpace(out)))
				written = ""
				time.AfterFunc(time.Second, c.tell)
				continue
			}
			slog.Info("new settings")
		}
	}
}

// controller holds what the cluster says.
type controller struct {
	class               string
	ingresses, services cache.Store
	changed             chan struct{}
}

// watch returns when all Ingresses and services have been seen once.
func watch(ctx context.Context, namespace, class string) (*controller, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("this program runs in a cluster: %w", err)
	}
	networking, err := typednetworkingv1.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	core, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	c := &controller{class: class, changed: make(chan struct{}, 1)}
	follow := func(client cache.Getter, resource string, kind runtime.Object) (cache.Store, cache.Controller) {
		return cache.NewInformerWithOptions(cache.InformerOptions{
			ListerWatcher: cache.NewListWatchFromClient(client, resource, namespace, fields.Everything()),
			ObjectType:    kind,
			Handler: cache.ResourceEventHandlerFuncs{
				AddFunc: func(any) { c.tell() }, UpdateFunc: func(_, _ any) { c.tell() }, DeleteFunc: func(any) { c.tell() },
			},
		})
	}
	var first, second cache.Controller
	c.ingresses, first = follow(networking.RESTClient(), "ingresses", &networkingv1.Ingress{})
	c.services, second = follow(core.RESTClient(), "services", &corev1.Service{})
	go first.RunWithContext(ctx)
	go second.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), first.HasSynced, second.HasSynced) {
		return nil, fmt.Errorf("ended before the cluster was read: %w", ctx.Err())
	}
	return c, nil
}

func (c *controller) tell() {
	select {
	case c.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// write writes the settings, if they are others than those in written.
func (c *controller) write(written *string) error {
	var ingresses []*networkingv1.Ingress
	for _, o := range c.ingresses.List() {
		ing := o.(*networkingv1.Ingress)
		if ing.Spec.IngressClassName == nil || *ing.Spec.IngressClassName == c.class {
			ingresses = append(ingresses, ing)
		}
	}
	services := map[string]*corev1.Service{}
	for _, o := range c.services.List() {
		s := o.(*corev1.Service)
		services[s.Namespace+"/"+s.Name] = s
	}
	text := render(ingresses, services)
	if text == *written {
		return nil
	}
	if err := os.WriteFile(settingsFile, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing nginx's settings: %w", err)
	}
	*written = text
	return nil
}

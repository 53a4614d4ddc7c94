package why

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Place is where a command looks: the flags that name a cluster and a namespace, as kubectl's.
type Place struct {
	kubeconfig, context, namespace string
}

// Register adds the flags to a command.
func (p *Place) Register(c *cobra.Command) {
	c.Flags().StringVar(&p.kubeconfig, "kubeconfig", "", "the cluster's kubeconfig (default: $KUBECONFIG)")
	c.Flags().StringVar(&p.context, "context", "", "the kubeconfig's context (default: the current one)")
	c.Flags().StringVarP(&p.namespace, "namespace", "n", "", "the object's namespace (default: the context's)")
}

// Open returns the cluster's configuration and the namespace. fallback names the kubeconfig where neither a flag nor
// $KUBECONFIG names one; it may be nil.
func (p *Place) Open(fallback func() string) (config *rest.Config, namespace string, err error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = p.kubeconfig
	if p.kubeconfig == "" && os.Getenv("KUBECONFIG") == "" && fallback != nil {
		rules.ExplicitPath = fallback()
	}
	if path := rules.ExplicitPath; path != "" && !strings.ContainsRune(path, filepath.ListSeparator) {
		if _, err := os.Stat(path); err != nil {
			return nil, "", fmt.Errorf("the kubeconfig: %w; is the cluster up?", err)
		}
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: p.context})
	config, err = loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("no cluster to look at: %w; 'wheelhouse up' brings one up, --kubeconfig names another", err)
	}
	namespace = p.namespace
	if namespace == "" {
		if namespace, _, err = loader.Namespace(); err != nil {
			return nil, "", fmt.Errorf("the kubeconfig: %w", err)
		}
	}
	return config, namespace, nil
}

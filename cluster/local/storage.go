package local

import (
	"context"
	"encoding/json"

	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/store/etcd"
)

// storage is the space of the cluster's database, as its server reports it.
func storage(ctx context.Context, kubeconfig string) (*etcd.Status, error) {
	rc, err := client.FromKubeconfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	cs, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	data, err := cs.RESTClient().Get().AbsPath(etcd.AdminPath + "status").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	s := &etcd.Status{}
	return s, json.Unmarshal(data, s)
}

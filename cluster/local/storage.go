package local

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	humanize "github.com/dustin/go-humanize"
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
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	data, err := cs.RESTClient().Get().AbsPath(etcd.AdminPath + "status").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	s := &etcd.Status{}
	return s, json.Unmarshal(data, s)
}

// checkStorage checks a cluster that runs; without one there is nothing to check.
func checkStorage(ctx context.Context, cfg Config) Check {
	s, err := storage(ctx, KubeconfigPath(cfg.Name, cfg.StateDir))
	if err != nil {
		return Check{Name: "database", Result: OK, Found: "no cluster runs"}
	}
	found := fmt.Sprintf("%s of %s in use, %s free on the disk", humanize.IBytes(uint64(s.InUse)), humanize.IBytes(uint64(s.Quota)), humanize.IBytes(uint64(s.DiskFree)))
	if s.Refusing != "" {
		return Check{"database", Fail, found, s.Refusing}
	}
	return check("database", s.Warning == "", Warn, found, s.Warning)
}

package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"wheelhouse/cluster/store/etcd"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/store"
)

// A store on an etcd in this process: a write, a watch from before it, and a read that sees it.
func Example() {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "store-")
	must(err)
	defer func() { _ = os.RemoveAll(dir) }()
	silent := slog.New(slog.DiscardHandler)
	etcd, stop, err := etcd.StartEmbedded(ctx, etcd.Config{Dir: dir, Log: silent})
	must(err)
	defer stop()
	s, err := store.New(store.Config{Client: etcd, Kinds: []*api.Kind{core.ConfigMaps}, OnlyWriter: true, Log: silent})
	must(err)
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	must(s.WaitReady(ctx))

	maps := s.Of(core.ConfigMaps)
	watcher, err := maps.Watch(ctx, "default", store.WatchOptions{})
	must(err)
	_, err = maps.Create(ctx, &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "settings"}, Data: map[string]string{"colour": "blue"}})
	must(err)
	event := <-watcher.Events()
	fmt.Println(event.Type, event.Item.Object().GetName())

	item, err := maps.Get(ctx, "default", "settings", "")
	must(err)
	fmt.Println(item.Object().(*v1.ConfigMap).Data["colour"])

	cancel()
	must(<-done)
	// Output:
	// ADDED settings
	// blue
}

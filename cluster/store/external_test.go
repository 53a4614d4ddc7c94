package store

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"wheelhouse/cluster/store/etcd"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/wait"
)

func freeURL(t *testing.T) url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return url.URL{Scheme: "http", Host: l.Addr().String()}
}

type member struct {
	*embed.Etcd
	stop func()
}

// startThree is an etcd cluster of three members on loopback sockets.
func startThree(t *testing.T) (members []*member, endpoints []string) {
	t.Helper()
	var cfgs []*embed.Config
	var initial []string
	for i := range 3 {
		cfg := embed.NewConfig()
		peer, client := freeURL(t), freeURL(t)
		cfg.Name, cfg.Dir = fmt.Sprint("m", i), t.TempDir()
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		cfg.TickMs, cfg.ElectionMs = 50, 500
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		initial = append(initial, cfg.Name+"="+peer.String())
		endpoints = append(endpoints, client.String())
		cfgs = append(cfgs, cfg)
	}
	for _, cfg := range cfgs {
		cfg.InitialCluster = strings.Join(initial, ",")
		m, err := embed.StartEtcd(cfg)
		if err != nil {
			t.Fatal(err)
		}
		stop := sync.OnceFunc(m.Close)
		t.Cleanup(stop)
		members = append(members, &member{m, stop})
	}
	for _, m := range members {
		select {
		case <-m.Server.ReadyNotify():
		case <-time.After(20 * time.Second):
			t.Fatal("a member is not ready after 20 s")
		}
	}
	return members, endpoints
}

// Two servers over one etcd cluster see each other's writes, and go on when a member,
// be it the leader, stops.
func TestExternalCluster(t *testing.T) {
	t.Parallel()
	members, endpoints := startThree(t)
	var stores []*Store
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		client, err := etcd.Connect(ctx, endpoints, etcd.TLS{}, slog.Default())
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		s, _ := open(t, client, false)
		stores = append(stores, s)
	}
	w := follow(t, stores[1].Of(pods), "", WatchOptions{ResourceVersion: "0"})
	check := func(name string) {
		t.Helper()
		wait.For(t, "a write with a majority of members", func() error {
			_, err := stores[0].Of(pods).Create(t.Context(), pod("default", name))
			return wait.Seen(err == nil, err)
		})
		must(t)(stores[1].Of(pods).Get(t.Context(), "default", name, ""))
		must(t)(stores[1].Of(pods).Update(t.Context(), "default", name, edit(func(p *corev1.Pod) { p.Generation++ })))
		if got := must(t)(stores[0].Of(pods).Get(t.Context(), "default", name, "")).Object().GetGeneration(); got != 1 {
			t.Errorf("%s: generation %d on the first server after an update on the second", name, got)
		}
		expect(t, w, "ADDED default/"+name, "MODIFIED default/"+name)
	}
	check("before")
	for i, m := range members {
		if m.Server.Leader() == m.Server.MemberID() {
			t.Logf("member %d leads and is stopped", i)
			m.stop()
			break
		}
	}
	check("after")
}

func TestConnectToNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	nowhere := freeURL(t)
	if _, err := etcd.Connect(ctx, []string{nowhere.String()}, etcd.TLS{}, nil); err == nil || !strings.Contains(err.Error(), nowhere.String()) {
		t.Errorf("connecting to where nothing listens: %v", err)
	}
	if _, err := etcd.Connect(ctx, []string{nowhere.String()}, etcd.TLS{TrustedCAFile: "/nonexistent"}, nil); err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("a CA file that is not there: %v", err)
	}
}

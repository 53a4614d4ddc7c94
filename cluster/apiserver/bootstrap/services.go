package bootstrap

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/client"
)

// fixed is a Service without selector, whose endpoints are kept here.
type fixed struct {
	namespace, name string
	labels          map[string]string
	ip              netip.Addr // the cluster's choice where it is not valid
	ports           []corev1.ServicePort
	targets         []corev1.EndpointPort
	addresses       []netip.Addr
}

// servers returns the live API servers, or this one alone.
func (b *Bootstrap) servers(ctx context.Context) (Servers, error) {
	if b.Servers != nil {
		return b.Servers(ctx)
	}
	s := Servers{API: []netip.Addr{b.Address}, DNS: b.DNSAddresses}
	if b.UI.IsValid() {
		s.UI = []netip.Addr{b.UI.Addr()}
	}
	return s, nil
}

// kubernetes returns the Service through which pods reach the API server.
func (b *Bootstrap) kubernetes(ctx context.Context) error {
	if !b.ServiceIP.IsValid() || !b.Address.IsValid() {
		return nil
	}
	live, err := b.servers(ctx)
	if err != nil {
		return err
	}
	return b.fixed(ctx, &fixed{
		namespace: metav1.NamespaceDefault, name: "kubernetes",
		labels:    map[string]string{"component": "apiserver", "provider": "kubernetes"},
		ip:        b.ServiceIP,
		ports:     []corev1.ServicePort{{Name: "https", Protocol: corev1.ProtocolTCP, Port: 443}},
		targets:   []corev1.EndpointPort{{Name: "https", Protocol: corev1.ProtocolTCP, Port: b.Port}},
		addresses: live.API,
	})
}

// dns returns the Service that pods have as their name server. kubectl cluster-info
// finds it by its labels.
func (b *Bootstrap) dns(ctx context.Context) error {
	if !b.DNSIP.IsValid() || len(b.DNSAddresses) == 0 {
		return nil
	}
	live, err := b.servers(ctx)
	if err != nil {
		return err
	}
	return b.fixed(ctx, &fixed{
		namespace: metav1.NamespaceSystem, name: "kube-dns",
		labels: map[string]string{
			"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "KubeDNS",
		},
		ip: b.DNSIP,
		ports: []corev1.ServicePort{
			{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53},
			{Name: "dns-tcp", Protocol: corev1.ProtocolTCP, Port: 53},
		},
		targets: []corev1.EndpointPort{
			{Name: "dns", Protocol: corev1.ProtocolUDP, Port: b.DNSPort},
			{Name: "dns-tcp", Protocol: corev1.ProtocolTCP, Port: b.DNSPort},
		},
		addresses: live.DNS,
	})
}

// ui returns the Service of the web page, which kubectl cluster-info finds likewise.
func (b *Bootstrap) ui(ctx context.Context) error {
	if !b.UI.IsValid() {
		return nil
	}
	live, err := b.servers(ctx)
	if err != nil {
		return err
	}
	return b.fixed(ctx, &fixed{
		namespace: metav1.NamespaceSystem, name: "kube-ui",
		labels: map[string]string{
			"k8s-app": "kube-ui", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "KubeUI",
		},
		ports:     []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}},
		targets:   []corev1.EndpointPort{{Protocol: corev1.ProtocolTCP, Port: int32(b.UI.Port())}},
		addresses: live.UI,
	})
}

func (b *Bootstrap) fixed(ctx context.Context, f *fixed) error {
	if err := b.service(ctx, f); err != nil {
		return done(err, "service", f.name)
	}
	if err := b.endpoints(ctx, f); err != nil {
		return done(err, "endpoints", f.name)
	}
	return done(b.slice(ctx, f), "endpoint slice", f.name)
}

func (b *Bootstrap) service(ctx context.Context, f *fixed) error {
	c := b.Client.CoreV1().Services(f.namespace)
	_, err := c.Get(ctx, f.name, metav1.GetOptions{ResourceVersion: "0"})
	if !apierrors.IsNotFound(err) {
		return err
	}
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: f.name, Labels: f.labels},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: f.ports},
	}
	if f.ip.IsValid() {
		svc.Spec.ClusterIP = f.ip.String()
	}
	_, err = c.Create(ctx, svc, metav1.CreateOptions{})
	return err
}

// endpoints reconciles the endpoints: they are exactly those that are live.
func (b *Bootstrap) endpoints(ctx context.Context, f *fixed) error {
	c := b.Client.CoreV1().Endpoints(f.namespace)
	have, err := c.Get(ctx, f.name, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	subset := corev1.EndpointSubset{Ports: f.targets}
	for _, a := range f.addresses {
		subset.Addresses = append(subset.Addresses, corev1.EndpointAddress{IP: a.String()})
	}
	meta := metav1.ObjectMeta{Name: f.name, Labels: map[string]string{discoveryv1.LabelSkipMirror: "true"}}
	if err != nil {
		_, err = c.Create(ctx, &corev1.Endpoints{ObjectMeta: meta, Subsets: []corev1.EndpointSubset{subset}}, metav1.CreateOptions{})
		return err
	}
	if len(have.Subsets) == 1 && equality.Semantic.DeepEqual(have.Subsets[0], subset) {
		return nil
	}
	next := have.DeepCopy()
	mergeMeta(&next.ObjectMeta, &meta)
	next.Subsets = []corev1.EndpointSubset{subset}
	_, err = c.Update(ctx, next, metav1.UpdateOptions{})
	return err
}

// clientCA publishes the authorities that sign the certificates of the API server's clients, as upstream does.
func (b *Bootstrap) clientCA(ctx context.Context) error {
	if len(b.ClientCA) == 0 {
		return nil
	}
	want := string(b.ClientCA)
	return b.configMap(ctx, "extension-apiserver-authentication", "client-ca-file", want, func(have string) bool { return have == want })
}

// tokenTracking records since when the uses of tokens in Secrets are recorded, as upstream.
func (b *Bootstrap) tokenTracking(ctx context.Context) error {
	return b.configMap(ctx, client.LegacyTokenTracking, client.LegacyTokenTrackedSince, time.Now().UTC().Format(time.DateOnly), func(have string) bool {
		_, err := time.Parse(time.DateOnly, have)
		return err == nil
	})
}

// configMap writes want as a key of a ConfigMap of kube-system, unless the value there is right.
func (b *Bootstrap) configMap(ctx context.Context, name, key, want string, right func(have string) bool) error {
	c := b.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	have, err := c.Get(ctx, name, metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		_, err = c.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{key: want}}, metav1.CreateOptions{})
		return done(err, "config map", name)
	}
	if err != nil || right(have.Data[key]) {
		return err
	}
	next := have.DeepCopy()
	if next.Data == nil {
		next.Data = map[string]string{}
	}
	next.Data[key] = want
	_, err = c.Update(ctx, next, metav1.UpdateOptions{})
	return done(err, "config map", name)
}

func (b *Bootstrap) slice(ctx context.Context, f *fixed) error {
	c := b.Client.DiscoveryV1().EndpointSlices(f.namespace)
	have, err := c.Get(ctx, f.name, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	ready := true
	want := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: f.name, Labels: map[string]string{discoveryv1.LabelServiceName: f.name}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, t := range f.targets {
		want.Ports = append(want.Ports, discoveryv1.EndpointPort{Name: &t.Name, Protocol: &t.Protocol, Port: &t.Port})
	}
	for _, a := range f.addresses {
		want.Endpoints = append(want.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{a.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	if err != nil {
		_, err = c.Create(ctx, want, metav1.CreateOptions{})
		return err
	}
	if equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) && equality.Semantic.DeepEqual(have.Ports, want.Ports) {
		return nil
	}
	next := have.DeepCopy()
	mergeMeta(&next.ObjectMeta, &want.ObjectMeta)
	next.Endpoints, next.Ports = want.Endpoints, want.Ports
	if _, err = c.Update(ctx, next, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("updating: %w", err)
	}
	return nil
}

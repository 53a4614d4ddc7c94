package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Use is what a node or pod uses: thousandths of a processor, and bytes.
type Use struct {
	CPU    int64 `json:"c"`
	Memory int64 `json:"m"`
}

// Sample is what everything used at one time. Pods are named namespace/name.
type Sample struct {
	Time  time.Time      `json:"t"`
	Nodes map[string]Use `json:"n"`
	Room  map[string]Use `json:"r"` // what the nodes have
	Pods  map[string]Use `json:"p"`
}

// metricsList has what is needed of a NodeMetricsList and a PodMetricsList.
type metricsList struct {
	Items []struct {
		metav1.ObjectMeta `json:"metadata"`
		Usage             corev1.ResourceList `json:"usage"`
		Containers        []struct {
			Usage corev1.ResourceList `json:"usage"`
		} `json:"containers"`
	} `json:"items"`
}

// maxAnswer bounds the memory that an answer may take: some 20,000 pods.
const maxAnswer = 32 << 20

// Collect reads what nodes and pods use now.
func Collect(ctx context.Context, client *http.Client, host string) (Sample, error) {
	s := Sample{Time: time.Now().Truncate(time.Second), Nodes: map[string]Use{}, Room: map[string]Use{}, Pods: map[string]Use{}}
	var nodes corev1.NodeList
	if err := get(ctx, client, host+"/api/v1/nodes", &nodes); err != nil {
		return s, err
	}
	for _, n := range nodes.Items {
		s.Room[n.Name] = use(n.Status.Capacity)
	}
	var used metricsList
	if err := get(ctx, client, host+"/apis/metrics.k8s.io/v1beta1/nodes", &used); err != nil {
		return s, err
	}
	for _, n := range used.Items {
		s.Nodes[n.Name] = use(n.Usage)
	}
	used = metricsList{}
	if err := get(ctx, client, host+"/apis/metrics.k8s.io/v1beta1/pods", &used); err != nil {
		return s, err
	}
	for _, p := range used.Items {
		var sum Use
		for _, c := range p.Containers {
			u := use(c.Usage)
			sum.CPU, sum.Memory = sum.CPU+u.CPU, sum.Memory+u.Memory
		}
		s.Pods[p.Namespace+"/"+p.Name] = sum
	}
	return s, nil
}

func use(r corev1.ResourceList) Use {
	return Use{CPU: r.Cpu().MilliValue(), Memory: r.Memory().Value()}
}

func get(ctx context.Context, client *http.Client, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}

package client_test

import (
	"context"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/client"
)

// A component in the server's process uses client-go without a socket; the server sees who it is.
func ExampleInProcess() {
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(client.UserFrom(r.Context()).Name, r.Method, r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"default","uid":"1"}}`)
	})
	set := kubernetes.NewForConfigOrDie(client.InProcess(server, &client.User{Name: "system:kube-scheduler"}))
	ns, err := set.CoreV1().Namespaces().Get(context.Background(), "default", metav1.GetOptions{})
	fmt.Println(ns.Name, err)
	// Output:
	// system:kube-scheduler GET /api/v1/namespaces/default
	// default <nil>
}

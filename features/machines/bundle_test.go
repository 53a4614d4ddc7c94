//go:build machines

package machines

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"k8s.io/client-go/util/cert"
)

const inspector = `
apiVersion: v1
kind: Pod
metadata: {name: inspector, labels: {app: inspector}}
spec:
  nodeSelector: {kubernetes.io/hostname: two}
  containers:
  - {name: inspector, image: "b.gcr.io/kuar/inspector:1.0.0"}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  nodeSelector: {kubernetes.io/hostname: one}
  containers:
  - {name: client, image: "busybox:latest", imagePullPolicy: Never, command: [sleep, "1000000"]}
`

// The workshop's inspector runs from its manifest of 2015 on machines that have no route to the outside: no machine has the
// image, and it comes from the bundle that one of them serves, with TLS.
func TestBundleWithoutInternet(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	host(t, "mkdir -p "+at("from/images")+" "+at("tls")+"; docker save b.gcr.io/kuar/inspector:1.0.0 -o "+at("from/images/"+runtime.GOARCH+".tar"))
	host(t, program()+" bundle create --from "+at("from")+" -o "+at("class.tar")+"; "+program()+" bundle verify "+at("class.tar"))
	const address = "10.88.0.2" // of the server
	crt, key, err := cert.GenerateSelfSignedCertKey(address, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"tls/tls.crt": crt, "tls/tls.key": key} {
		if err := os.WriteFile(at(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newCluster(t, "--image-mirror", "https://"+address+":8750", "--image-mirror-ca", at("tls/tls.crt"))
	if out, err := c.two.run("ip", "route", "get", "1.1.1.1"); err == nil {
		t.Logf("node two sends to the outside: %s", out) // to the router, which has no route
	}
	if out, err := c.two.run("ping", "-c", "1", "-W", "1", "1.1.1.1"); err == nil {
		t.Fatalf("there is a way to the outside: %s", out)
	}
	if out, err := c.two.run("docker", "image", "inspect", "b.gcr.io/kuar/inspector:1.0.0"); err == nil {
		t.Fatalf("the node has the image already: %s", out)
	}
	c.server.start(t, program(), "bundle", "serve", at("class.tar"), "--listen", address+":8750", "--tls-dir", at("tls"))
	if err := os.WriteFile(at("inspector.yaml"), []byte(inspector), 0o600); err != nil {
		t.Fatal(err)
	}
	c.sees(t, "the manifest is applied", "pod/inspector", "apply", "-f", at("inspector.yaml"))
	c.sees(t, "pod inspector runs", "Running", "get", "pod", "inspector", "-o", "jsonpath={.status.phase}")
	c.sees(t, "the image was pulled", "Successfully pulled image", "get", "events", "--field-selector", "involvedObject.name=inspector", "-o", "jsonpath={.items[*].message}")
	c.sees(t, "pod client runs", "Running", "get", "pod", "client", "-o", "jsonpath={.status.phase}")
	ip, err := c.server.run(program(), "kubectl", "get", "pod", "inspector", "-o", "jsonpath={.status.podIP}")
	if err != nil {
		t.Fatal(err)
	}
	c.fromClient(t, "the inspector answers", "nspect", "wget", "-T", "2", "-qO-", "http://"+ip+"/")
}

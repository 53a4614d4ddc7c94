Feature: What the documents show
  Rows of the source documents that no lab and no other feature proves.

  @W4
  Scenario: Docker on the node shows the pod's containers
    When `date +%s > since; kubectl run seen --image=nginx && kubectl wait --for=condition=Ready pod/seen --timeout=60s` succeeds
    Then `docker events --since $(cat since) --until $(date +%s) --format '{{.Action}} {{.Actor.Attributes.name}}' | grep $NAMESPACE` prints a line like "^create k8s_seen_seen_"
    And `docker events --since $(cat since) --until $(date +%s) --format '{{.Action}} {{.Actor.Attributes.name}}' | grep $NAMESPACE` prints a line like "^start k8s_seen_seen_"
    And `docker events --since $(cat since) --until $(date +%s) --format '{{.Action}} {{.Actor.Attributes.name}}' | grep $NAMESPACE` prints a line like "^start k8s_POD_seen_"
    And on node "minion-1" `docker ps --format '{{.Names}} {{.Image}}'` prints "_seen_"
    When `kubectl delete pod seen` succeeds
    Then `docker ps -a --format '{{.Names}}' | grep -c _seen_seen_$NAMESPACE || true` prints a line like "^0$"

  @W14
  Scenario: the limits of labels
    When `kubectl create configmap c && kubectl label configmap c tier=front release-1.0_x=A.b-c_9 $(printf 'a%.0s' $(seq 253))/$(printf 'b%.0s' $(seq 63))=$(printf 'v%.0s' $(seq 63)) empty=` succeeds
    Then `kubectl get configmap -l empty= -o name` prints "configmap/c"
    And `kubectl label configmap c $(printf 'b%.0s' $(seq 64))=x` fails with "name part must be no more than 63 bytes"
    And `kubectl label configmap c $(printf 'a%.0s' $(seq 254))/b=x` fails with "prefix part must be no more than 253 bytes"
    And `kubectl label configmap c a=$(printf 'v%.0s' $(seq 64))` fails with "must be no more than 63 bytes"
    And `kubectl label configmap c a=-x` fails with "a valid label must be an empty string or consist of alphanumeric characters"
    And `kubectl label configmap c a/b/c=x` fails with "a valid label key must consist of alphanumeric characters"
    And `kubectl label configmap c tier=back` fails with "already has a value (front)"
    When `kubectl label --overwrite configmap c tier=back && kubectl label configmap c empty-` succeeds
    Then `kubectl get configmap c -L tier,empty` prints the columns "NAME DATA AGE TIER EMPTY"
    And `kubectl annotate configmap c author='Christian P.' scm=https://example.org/a?b=c#d note="$(printf 'x%.0s' $(seq 3000))" && kubectl get configmap c -o jsonpath={.metadata.annotations.author}` prints "Christian P."

  @W14
  Scenario: selectors by equality and by set, with every verb that takes them
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - {apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {environment: production, tier: frontend}}}
      - {apiVersion: v1, kind: ConfigMap, metadata: {name: b, labels: {environment: production, tier: backend, partition: customerA}}}
      - {apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {environment: qa, tier: frontend}}}
      - {apiVersion: v1, kind: ConfigMap, metadata: {name: d, labels: {version: 1.0.0}}}
      """
    Then `kubectl get configmap -l 'environment = production' -o name | xargs` prints a line like "^configmap/a configmap/b$"
    And `kubectl get configmap -l 'environment==qa' -o name | xargs` prints a line like "^configmap/c$"
    And `kubectl get configmap -l 'tier != frontend, version = 1.0.0' -o name | xargs` prints a line like "^configmap/d$"
    And `kubectl get configmap -l 'environment in (production, pre-production)' -o name | xargs` prints a line like "^configmap/a configmap/b$"
    And `kubectl get configmap -l 'tier notin (frontend, backend)' -o name | xargs` prints "configmap/d"
    And `kubectl get configmap -l partition -o name | xargs` prints a line like "^configmap/b$"
    And `kubectl get configmap -l '!partition,environment' -o name | xargs` prints a line like "^configmap/a configmap/c$"
    And `kubectl get configmap -l 'environment in'` fails with "unable to parse requirement"
    And `kubectl describe configmap -l tier=backend` prints a line like "^Name: +b$"
    When `kubectl label configmap -l environment=production owner=me && kubectl annotate configmap -l environment=production seen=yes` succeeds
    Then `kubectl get configmap -l owner=me -o jsonpath='{.items[*].metadata.annotations.seen}'` prints a line like "^yes yes$"
    And `timeout 3 kubectl get configmap -l environment=qa --watch --output-watch-events -o name; true` prints "configmap/c"
    And `kubectl wait configmap -l environment=production --for=jsonpath={.metadata.annotations.seen}=yes --timeout=60s` prints "configmap/b condition met"
    When `kubectl delete configmap -l environment=production` succeeds
    Then `kubectl get configmap -l '!kubernetes.io/nosuch' -o name | grep -v kube-root | xargs` prints a line like "^configmap/c configmap/d$"

  @W16
  Scenario: several objects in a file, and the kind List
    When `printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, labels: {of: file}}\n---\n# nothing here\n---\napiVersion: v1\nkind: Service\nmetadata: {name: two, labels: {of: file}}\nspec: {ports: [{port: 80}]}\n' > many.yaml && kubectl create -f many.yaml` succeeds
    And `printf '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "three", "labels": {"of": "file"}}}, {"apiVersion": "extensions/v1beta1", "kind": "Deployment", "metadata": {"name": "four", "labels": {"of": "file"}}, "spec": {"replicas": 0, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "nginx"}]}}}}]}' > list.json && kubectl create -f list.json` succeeds
    Then `kubectl get configmap,service,deployment -l of=file -o name | sort | xargs` prints "configmap/one configmap/three deployment.apps/four service/two"
    And `kubectl get -f many.yaml -f list.json -o jsonpath={.kind}` prints a line like "^List$"
    And `kubectl get configmap,service -l of=file -o yaml > again.yaml; kubectl delete -f again.yaml | grep -c deleted` prints a line like "^3$"
    And `kubectl get configmap,service -l of=file -o name` prints nothing
    # What is wrong in one of them stops no other.
    And `sed 's/kind: ConfigMap/kind: Nosuch/' many.yaml | kubectl create -f -` fails with "no matches for kind"
    And `kubectl get service two -o name` prints "service/two"

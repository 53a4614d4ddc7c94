Feature: The client that others wrote
  kubectl works unmodified: its verbs, their columns and their messages.

  Background:
    Given the objects:
      """
      apiVersion: v1
      kind: ReplicationController
      metadata:
        name: web
      spec:
        replicas: 1
        selector: {app: web}
        template:
          metadata:
            labels: {app: web}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - name: nginx
              image: nginx
      """
    And 1 pod with label "app=web" is running and ready

  Scenario: the columns that people know
    Then `kubectl get pods` prints the columns "NAME READY STATUS RESTARTS AGE"
    And `kubectl get pods -o wide` prints the columns "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"
    And `kubectl get rc` prints the columns "NAME DESIRED CURRENT READY AGE"
    And `kubectl get rc -o wide` prints the columns "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR"
    And `kubectl get svc -n default` prints the columns "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE"
    And `kubectl get nodes` prints the columns "NAME STATUS ROLES AGE VERSION"
    And `kubectl get namespaces` prints the columns "NAME STATUS AGE"
    And `kubectl get events` prints the columns "LAST SEEN TYPE REASON OBJECT MESSAGE"
    And `kubectl get endpoints -n default 2>/dev/null` prints the columns "NAME ENDPOINTS AGE"
    And `kubectl get configmaps` prints the columns "NAME DATA AGE"

  @W1 @W2
  Scenario: the cluster tells about itself
    Then `kubectl cluster-info` prints "is running at https://"
    And `kubectl cluster-info` prints a line like "KubeDNS.* is running at"
    And `kubectl cluster-info` prints a line like "KubeUI.* is running at"
    And `for path in $(kubectl cluster-info | grep -o 'https://[^ ]*' | sed -E 's#https://[^/]+##; s#^$#/#'); do kubectl get --raw $path >/dev/null && echo $path answers; done | grep -c answers` prints a line like "^3$"
    And `kubectl get --raw /api/v1/namespaces/kube-system/services/kube-ui/proxy/` prints "<title>Wheelhouse</title>"
    And `kubectl get componentstatuses 2>/dev/null` prints a line like "^controller-manager +Healthy +ok"
    And `kubectl get componentstatuses 2>/dev/null` prints a line like "^scheduler +Healthy +ok"
    And `kubectl get componentstatuses 2>/dev/null` prints a line like "^etcd-0 +Healthy"
    And `kubectl version` prints "Server Version"
    And `kubectl api-resources` prints a line like "^replicationcontrollers +rc +v1 +true +ReplicationController"
    And `kubectl explain pod.spec.containers` prints "List of containers belonging to the pod"

  @W2
  Scenario: the Vagrant kit validates a cluster, and says why it is not valid
    Then `$TOP/vagrant/validate-cluster --timeout 60` prints "Cluster validation succeeded"
    And `$TOP/vagrant/validate-cluster --timeout 60` prints a line like "^etcd-0 +Healthy"
    And `$TOP/vagrant/validate-cluster --nodes 3 --except nobody --timeout 60` prints "Found 3 nodes."
    And `$TOP/vagrant/validate-cluster --nodes 99 --timeout 1` fails with "of 99 node(s) Ready after 1 s. On a machine that is missing: journalctl -u wheelhouse-node"
    And `KUBECONFIG=absent $TOP/vagrant/validate-cluster --timeout 1` fails with "the API server does not answer"
    And `$TOP/vagrant/validate-cluster --nodes many` fails with "usage: validate-cluster"
    And `kubectl auth can-i create pods` prints "yes"

  Scenario: what a container prints, and what is run in it
    Then `kubectl logs rc/web; kubectl exec rc/web -- curl -s -o /dev/null localhost; kubectl logs rc/web` prints "GET / HTTP/1.1"
    And `echo hello | kubectl exec -i rc/web -- cat` prints "hello"
    And `kubectl exec rc/web -- sh -c "exit 7"; echo status $?` prints "status 7"
    # A command may end before its stdin does, and stdin before the command.
    And `for ws in true false; do export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=$ws; for i in 1 2 3 4 5; do yes | kubectl exec -i rc/web -- sh -c "head -c 2; exit 9" 2>/dev/null; echo "$? "; done; done | tr -d '\n'` prints "y9 y9 y9 y9 y9 y9 y9 y9 y9 y9 "
    And `for ws in true false; do export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=$ws; printf 'b\na\n' | kubectl exec -i rc/web -- sh -c "sort; sleep 1; echo late; exit 3" 2>/dev/null; echo "$? "; done | tr '\n' ' '` prints "a b late 3  a b late 3 "
    And `head -c 20000000 /dev/urandom > big; kubectl exec -i rc/web -- cat < big | cmp - big && echo all` prints "all"
    And `kubectl run -q -i --rm --restart=Never ended --image=busybox -- sh -c "wc -c; exit 5" < big; echo "status $?"` prints "20000000"
    When `echo copied > a.txt && kubectl cp a.txt $(kubectl get pod -l app=web -o jsonpath={.items[0].metadata.name}):/tmp/a.txt` succeeds
    Then `kubectl exec rc/web -- cat /tmp/a.txt` prints "copied"
    And `kubectl port-forward rc/web 18391:80 >/dev/null & p=$!; for i in $(seq 30); do curl -s localhost:18391 && break; sleep 0.1; done; kill $p` prints "Welcome to nginx!"

  Scenario Outline: streams and logs, through our kubectl and the machine's own (<which>)
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec:
          selector: {app: web}
          ports:
          - {port: 8000, targetPort: 80}
      - apiVersion: v1
        kind: Pod
        metadata: {name: talker}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - name: a
            image: busybox:1.35
            stdin: true
            command: ["sh", "-c", "[ -e /state/ran ] || { touch /state/ran; echo first life; exit 1; }; echo second life; seq 5; while read line; do echo heard $line; done; exec sleep 3600"]
            volumeMounts:
            - {name: state, mountPath: /state}
          volumes:
          - name: state
            emptyDir: {}
      """
    Then pod "talker" has restarted 1 times
    And pod "talker" is running and ready
    And `$(type -ap kubectl | <which>) logs talker --previous` prints "first life"
    And `$(type -ap kubectl | <which>) logs talker --tail=2 | tr '\n' ' '` prints a line like "^4 5 $"
    And `$(type -ap kubectl | <which>) logs talker --timestamps --tail=1` prints a line like "^20[0-9-]+T[0-9:.]+Z 5$"
    And `$(type -ap kubectl | <which>) logs talker --since=1h` prints "second life"
    And `sleep 1; $(type -ap kubectl | <which>) logs talker --since=1s` prints nothing
    And `(sleep 0.3; echo a word) | timeout 5 $(type -ap kubectl | <which>) attach -i talker` prints "heard a word"
    And `timeout 3 $(type -ap kubectl | <which>) logs -f talker --tail=1; [ $? = 124 ]` prints "heard a word"
    And `timeout 10 script -qec "$(type -ap kubectl | <which>) exec -it talker -- sh -c 'tty; stty size; exit 5'" /dev/null </dev/null; echo status $?` prints a line like "^/dev/pts/0"
    And `timeout 10 script -qec "stty rows 33 cols 99; $(type -ap kubectl | <which>) exec -it talker -- sh -c 'sleep 1; stty size; exit 5'" /dev/null </dev/null; echo status $?` prints:
      """
      33 99
      status 5
      """
    When `rm -rf there back; mkdir there && head -c 300000 /dev/urandom > there/a && echo b > there/b` succeeds
    And `$(type -ap kubectl | <which>) cp there talker:/tmp/there && $(type -ap kubectl | <which>) cp talker:/tmp/there back` succeeds
    Then `diff -r there back && echo same` prints "same"
    And `$(type -ap kubectl | <which>) port-forward $(kubectl get pod -l app=web -o name) 18392:80 >/dev/null & p=$!; for i in $(seq 30); do curl -s localhost:18392 && break; sleep 0.1; done; kill $p` prints "Welcome to nginx!"
    And `$(type -ap kubectl | <which>) port-forward svc/web 18393:8000 >/dev/null & p=$!; for i in $(seq 30); do curl -s localhost:18393 && break; sleep 0.1; done; kill $p` prints "Welcome to nginx!"

    Examples:
      | which   |
      | head -1 |
      | tail -1 |

  Scenario: change in all its ways
    When `kubectl create configmap c --from-literal=a=1 -o yaml --dry-run=client > c.yaml && kubectl apply -f c.yaml` succeeds
    Then `sed -i 's/"1"/"2"/' c.yaml; kubectl diff -f c.yaml` fails with "+  a: "
    When `kubectl apply --server-side --force-conflicts -f c.yaml` succeeds
    Then `kubectl get configmap c -o jsonpath={.data.a}` prints "2"
    When `kubectl patch configmap c --type=json -p '[{"op":"add","path":"/data/b","value":"3"}]'` succeeds
    And `kubectl label configmap c tier=back && kubectl annotate configmap c note=seen` succeeds
    Then `kubectl get configmap -l 'tier in (back, front)' -o name` prints "configmap/c"
    And `kubectl get configmap -l 'tier notin (back)' -o name | grep configmap/c || echo none` prints "none"
    When `EDITOR="sed -i s/seen/edited/" kubectl edit configmap c` succeeds
    Then `kubectl get configmap c -o go-template={{.metadata.annotations.note}}` prints "edited"
    And `kubectl wait --for=jsonpath={.data.b}=3 configmap/c --timeout=60s` prints "condition met"
    When `kubectl delete configmap c` succeeds
    Then `kubectl get configmap c` fails with "NotFound"

  Scenario: what is wrong is said field by field
    Then `printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: Bad_Name}\nspec: {containers: [{name: a, image: x, ports: [{containerPort: 99999}]}]}' | kubectl create -f -` fails with "metadata.name: Invalid value"
    And `printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [{name: a, image: x, ports: [{containerPort: 99999}]}]}' | kubectl create -f -` fails with "spec.containers[0].ports[0].containerPort: Invalid value: 99999"
    And `printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [{name: a, image: x, nosuch: 1}]}' | kubectl create -f -` fails with "spec.containers[0].nosuch"
    And `printf 'apiVersion: v1\nkind: Nosuch\nmetadata: {name: bad}' | kubectl create -f -` fails with "no matches for kind"

  @T1
  Scenario: a node is emptied and opened again
    When `kubectl drain minion-1 --force --ignore-daemonsets --delete-emptydir-data --timeout=60s` succeeds
    Then `kubectl get node minion-1` prints "Ready,SchedulingDisabled"
    And 1 pod with label "app=web" is running and ready
    And `kubectl get pod -l app=web -o wide` prints "minion-2"
    When `kubectl uncordon minion-1` succeeds
    Then `kubectl get node minion-1` prints a line like "^minion-1 +Ready "

  @N6
  Scenario: a namespace goes with all that is in it
    When `kubectl create namespace doomed-$NAMESPACE && kubectl run -n doomed-$NAMESPACE p --image=nginx && kubectl create configmap -n doomed-$NAMESPACE c` succeeds
    And `kubectl delete namespace doomed-$NAMESPACE --timeout=80s` succeeds
    Then `kubectl get namespace doomed-$NAMESPACE` fails with "NotFound"
    And `kubectl get pods -n doomed-$NAMESPACE -o name` prints nothing

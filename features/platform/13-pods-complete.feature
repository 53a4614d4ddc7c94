Feature: Pods, all that they can ask for
  The node's own network and ports, containers that look at others, pods of a file, and
  what is said of pods that a node cannot run.

  @N3
  Scenario: a pod in its node's network is on the node
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: onhost
      spec:
        nodeName: minion-1
        hostNetwork: true
        hostPID: true
        hostIPC: true
        terminationGracePeriodSeconds: 1
        containers:
        - name: web
          image: busybox:1.35
          command: ["sh", "-c", "mkdir /www; echo from-the-node > /www/index.html; exec httpd -f -p 8097 -h /www"]
          ports:
          - {containerPort: 8097}
          readinessProbe:
            httpGet: {path: /, port: 8097}
            periodSeconds: 1
      """
    Then pod "onhost" is running and ready
    And `kubectl get pod onhost -o go-template='{{if eq .status.podIP .status.hostIP}}one address{{end}}'` prints "one address"
    And in pod "onhost" `hostname` prints "minion-1"
    And in pod "onhost" `cat /etc/hosts` prints "(host network)"
    And on node "minion-1" `curl -s http://127.0.0.1:8097/` prints "from-the-node"
    And port 8097 of pod "onhost" answers "/" with "from-the-node"
    And `kubectl get pod onhost -o jsonpath={.spec.containers[0].ports[0].hostPort}` prints "8097"
    When `kubectl delete pod onhost` succeeds
    Then on node "minion-1" `curl -s http://127.0.0.1:8097/ || echo closed` prints "closed"

  @N5
  Scenario: a port of the node leads to the pod that asks for it, and to one only
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: ported, labels: {app: ported}}
        spec:
          nodeSelector: {kubernetes.io/hostname: minion-1}
          terminationGracePeriodSeconds: 1
          containers:
          - name: web
            image: busybox:1.35
            command: ["sh", "-c", "mkdir /www; echo from-the-pod > /www/index.html; exec httpd -f -p 80 -h /www"]
            ports:
            - {containerPort: 80, hostPort: 8098}
            - {containerPort: 80, hostPort: 8099, hostIP: 127.0.0.1}
      """
    Then pod "ported" is running and ready
    And on node "minion-1" `curl -s http://127.0.0.1:8098/` prints "from-the-pod"
    And on node "minion-1" `curl -s http://127.0.0.1:8099/` prints "from-the-pod"
    And `curl -s http://$(kubectl get node minion-1 -o jsonpath={.status.addresses[0].address}):8098/` prints "from-the-pod"
    And `curl -s -m 2 http://$(kubectl get node minion-1 -o jsonpath={.status.addresses[0].address}):8099/` fails with ""
    # The proxy writes its rules again; the port stays open.
    When `kubectl create service clusterip ported --tcp=80:80` succeeds
    Then port 80 of service "ported" answers "/" with "from-the-pod"
    And `curl -s http://$(kubectl get node minion-1 -o jsonpath={.status.addresses[0].address}):8098/` prints "from-the-pod"
    When `kubectl get pod ported -o json | sed 's/"name": "ported"/"name": "second"/; /"nodeName"/d; /"uid"/d; /"resourceVersion"/d' | kubectl create -f -` succeeds
    Then `kubectl describe pod second` prints "didn't have free ports for the requested pod ports"
    When `kubectl delete pod ported` succeeds
    Then pod "second" is running and ready
    And on node "minion-1" `curl -s http://127.0.0.1:8098/` prints "from-the-pod"
    When `kubectl delete pod second` succeeds
    Then on node "minion-1" `curl -s -m 2 http://127.0.0.1:8098/ || echo closed` prints "closed"

  @N3
  Scenario: kubectl debug looks at a running pod, a copy of it and a node
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: watched
      spec:
        terminationGracePeriodSeconds: 1
        containers:
        - {name: main, image: "busybox:1.35", command: ["sleep", "4242"]}
      """
    Then pod "watched" is running and ready
    And `kubectl debug watched --image=busybox:1.35 --target=main -c looker -- sh -c 'cat /proc/1/cmdline | tr "\0" " "; echo; sleep 3600'` succeeds
    And `kubectl logs watched -c looker` prints "sleep 4242"
    And `kubectl get pod watched -o jsonpath={.status.ephemeralContainerStatuses[0].state.running.startedAt}` prints "20"
    And `kubectl exec watched -c looker -- ls /proc/1/root/bin/sleep` prints "sleep"
    And `kubectl describe pod watched` prints:
      """
      Ephemeral Containers:
      looker:
      Started container looker
      """
    And `kubectl debug watched -i --quiet --image=busybox:1.35 -c asked < <(exec 2>/dev/null; echo 'echo out of $((6*7)); exit'; sleep 60)` prints "out of 42"
    And `echo all of it | kubectl run once -i --rm --quiet --restart=Never --image=busybox:1.35 -- cat` prints "all of it"
    And `kubectl get pod watched` prints a line like "^watched +1/1 +Running +0 "
    And `kubectl debug watched --copy-to=copied --share-processes --image=busybox:1.35 -c helper -- sh -c 'sleep 1; ps; sleep 3600'` succeeds
    And pod "copied" is running and ready
    And `kubectl logs copied -c helper` prints "sleep 4242"
    And `kubectl debug watched --copy-to=changed --container=main -- sleep 777` succeeds
    And pod "changed" is running and ready
    And in pod "changed" `ps` prints "sleep 777"
    And `kubectl debug node/minion-1 -i --quiet --image=busybox:1.35 < <(exec 2>/dev/null; echo 'hostname; ls -d /host; exit'; sleep 60)` prints:
      """
      minion-1
      /host
      """

  Scenario: a pod of a file on the node runs without the API server, and is seen there
    Given `mkdir -p /var/lib/wheelhouse/$WHEELHOUSE_CLUSTER/nodes/minion-1/manifests && printf '{apiVersion: v1, kind: Pod, metadata: {name: own, namespace: %s}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: "busybox:1.35", command: ["sh", "-c", "echo static; exec sleep 3600"]}]}}' $NAMESPACE > /var/lib/wheelhouse/$WHEELHOUSE_CLUSTER/nodes/minion-1/manifests/own.yaml` succeeds
    Then pod "own-minion-1" is running and ready
    And `kubectl get pod own-minion-1 -o jsonpath={.metadata.annotations}` prints "kubernetes.io/config.mirror"
    And `kubectl get pod own-minion-1 -o jsonpath={.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name}` prints "Node/minion-1"
    And `kubectl logs own-minion-1` prints "static"
    And `kubectl describe pod own-minion-1` prints "Started container c"
    And `kubectl exec own-minion-1 -- hostname` prints "own-minion-1"
    When the containers of pod "own-minion-1" are noted
    And `kubectl delete pod own-minion-1` succeeds
    Then pod "own-minion-1" is running and ready
    And pod "own-minion-1" has the same containers, none of them restarted
    When `rm /var/lib/wheelhouse/$WHEELHOUSE_CLUSTER/nodes/minion-1/manifests/own.yaml` succeeds
    Then pod "own-minion-1" is gone

  @W12
  Scenario: a git repository as a volume, from the node's own network
    Given `set -e; d=/var/lib/wheelhouse/$WHEELHOUSE_CLUSTER/nodes/minion-1/disk/git; mkdir -p $d; git init -q $d/work; cd $d/work; echo content > page; git add page; git -c user.name=a -c user.email=a@b commit -q -m one; git clone -q --bare $d/work $d/pages.git; git --git-dir=$d/pages.git update-server-info; chmod -R a+rX $d` succeeds
    And the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: server}
        spec:
          nodeName: minion-1
          terminationGracePeriodSeconds: 1
          containers:
          - name: web
            image: busybox:1.35
            command: ["httpd", "-f", "-p", "80", "-h", "/git"]
            ports: [{containerPort: 80, hostPort: 8418, hostIP: 127.0.0.1}]
            volumeMounts: [{name: git, mountPath: /git}]
          volumes: [{name: git, hostPath: {path: /git}}]
      - apiVersion: v1
        kind: Pod
        metadata: {name: reader}
        spec:
          nodeName: minion-1
          restartPolicy: Never
          containers:
          - name: c
            image: busybox:1.35
            command: ["cat", "/repo/pages/page"]
            volumeMounts: [{name: repo, mountPath: /repo}]
          volumes: [{name: repo, gitRepo: {repository: "http://127.0.0.1:8418/pages.git"}}]
      """
    Then pod "reader" is Succeeded
    And `kubectl logs reader` prints "content"

  @W12 @N1
  Scenario Outline: a volume of kind <kind> is refused with a clear event
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: refused}
      spec:
        terminationGracePeriodSeconds: 1
        containers:
        - {name: c, image: "busybox:1.35", command: ["sleep", "3600"], volumeMounts: [{name: data, mountPath: /data}]}
        volumes:
        - {name: data, <kind>: <source>}
      """
    Then `kubectl describe pod refused` prints a line like "Warning +FailedMount .* kubelet +MountVolume.SetUp failed for volume .data. : <says>"
    And pod "refused" is Pending

    Examples:
      | kind                 | source                         | says                                                          |
      | awsElasticBlockStore | {volumeID: vol-1}              | volumes of kind awsElasticBlockStore are not supported on     |
      | gcePersistentDisk    | {pdName: disk-1}               | volumes of kind gcePersistentDisk are not supported on        |
      | glusterfs            | {endpoints: g, path: v}        | volumes of kind glusterfs are not supported on                |
      | hostPath             | {path: /none, type: Directory} | hostPath type check failed: /none is not a directory          |
      | nfs                  | {server: 127.0.0.1, path: /x}  | (the kernel of this node has no NFS\|mount failed)            |
      | configMap            | {name: none}                   | configmap .none. not found                                    |
      | secret               | {secretName: none}             | secret .none. not found                                       |

  @W12 @W13
  Scenario: a volume that is made with its pod and goes with it
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: scratch}
      spec:
        terminationGracePeriodSeconds: 1
        containers:
        - {name: c, image: "busybox:1.35", command: ["sh", "-c", "echo kept > /data/f; exec sleep 3600"], volumeMounts: [{name: data, mountPath: /data}]}
        volumes:
        - name: data
          ephemeral:
            volumeClaimTemplate:
              spec:
                accessModes: [ReadWriteOnce]
                resources: {requests: {storage: 1Mi}}
      """
    Then pod "scratch" is running and ready
    And in pod "scratch" `cat /data/f` prints "kept"
    And `kubectl get pvc scratch-data` prints a line like "^scratch-data +Bound "
    When `kubectl delete pod scratch` succeeds
    Then `kubectl get pvc` prints "No resources found"

  @W8
  Scenario: init containers come first, one after the other, and say so while they do
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: waits}
        spec:
          terminationGracePeriodSeconds: 1
          initContainers:
          - {name: one, image: "busybox:1.35", command: ["true"]}
          - {name: two, image: "busybox:1.35", command: ["sh", "-c", "until [ -e /tmp/go ]; do sleep 0.1; done"]}
          containers:
          - {name: c, image: "busybox:1.35", command: ["sleep", "3600"]}
      - apiVersion: v1
        kind: Pod
        metadata: {name: fails}
        spec:
          restartPolicy: Never
          initContainers:
          - {name: one, image: "busybox:1.35", command: ["sh", "-c", "exit 3"]}
          containers:
          - {name: c, image: "busybox:1.35", command: ["sleep", "3600"]}
      - apiVersion: v1
        kind: Pod
        metadata: {name: loops}
        spec:
          terminationGracePeriodSeconds: 1
          initContainers:
          - {name: one, image: "busybox:1.35", command: ["sh", "-c", "exit 3"]}
          containers:
          - {name: c, image: "busybox:1.35", command: ["sleep", "3600"]}
      """
    Then `kubectl get pod waits` prints a line like "^waits +0/1 +Init:1/2 +0 "
    And pod "fails" is Failed
    And `kubectl get pod fails` prints a line like "^fails +0/1 +Init:Error +0 "
    And `kubectl get pod loops` prints a line like "^loops +0/1 +Init:CrashLoopBackOff +[1-9]"
    When `kubectl exec waits -c two -- touch /tmp/go` succeeds
    Then pod "waits" is running and ready

  @M7
  Scenario: a job is done when its work is, though a sidecar runs beside it
    Given the objects:
      """
      apiVersion: batch/v1
      kind: Job
      metadata: {name: worked}
      spec:
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 5
            initContainers:
            - {name: helper, image: "busybox:1.35", restartPolicy: Always, command: ["sh", "-c", "trap 'echo helper ends; exit' TERM; sleep 3600 & wait"]}
            containers:
            - {name: c, image: "busybox:1.35", command: ["sh", "-c", "echo work is done"]}
      """
    Then `kubectl wait --for=condition=complete --timeout=60s job/worked` succeeds
    And `kubectl logs job/worked -c helper` prints "helper ends"

  @W8
  Scenario: a pod has an end: by its deadline, or at once by force
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: late}
        spec:
          activeDeadlineSeconds: 2
          terminationGracePeriodSeconds: 1
          containers:
          - {name: c, image: "busybox:1.35", command: ["sleep", "3600"]}
      - apiVersion: v1
        kind: Pod
        metadata: {name: stubborn}
        spec:
          terminationGracePeriodSeconds: 600
          containers:
          - {name: c, image: "busybox:1.35", command: ["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"]}
      """
    Then pod "late" is Failed
    And `kubectl get pod late -o jsonpath={.status.reason}` prints "DeadlineExceeded"
    And `kubectl describe pod late` prints "Pod was active on the node longer than the specified deadline"
    And pod "stubborn" is running and ready
    When `kubectl delete pod stubborn --wait=false` succeeds
    Then `kubectl get pod stubborn` prints "Terminating"
    When `kubectl delete pod stubborn --force --grace-period=0` succeeds
    Then `docker ps -q --filter label=wheelhouse.cluster=$WHEELHOUSE_CLUSTER --filter label=io.kubernetes.pod.namespace=$NAMESPACE --filter label=io.kubernetes.pod.name=stubborn` prints nothing

  @W5
  Scenario: describe shows what happened to a pod, with counts
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: ill}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - name: c
            image: busybox:1.35
            command: ["sleep", "3600"]
            readinessProbe: {exec: {command: ["sh", "-c", "echo not yet; exit 1"]}, periodSeconds: 1}
            livenessProbe: {exec: {command: ["false"]}, periodSeconds: 1, initialDelaySeconds: 3}
      - apiVersion: v1
        kind: Pod
        metadata: {name: rooted}
        spec:
          securityContext: {runAsNonRoot: true}
          containers:
          - {name: c, image: "busybox:1.35"}
      """
    Then `kubectl describe pod ill` prints a line like "Normal +Scheduled .* default-scheduler +Successfully assigned f[0-9]+/ill to minion-[12]"
    And `kubectl describe pod ill` prints a line like "Normal +Pulled .* kubelet +spec.containers\{c\}: Container image .busybox:1.35. already present on machine"
    And `kubectl describe pod ill` prints a line like "Normal +Created .* kubelet +spec.containers\{c\}: Created container: c"
    And `kubectl describe pod ill` prints a line like "Normal +Started .* kubelet +spec.containers\{c\}: Started container c"
    And `kubectl describe pod ill` prints a line like "Warning +Unhealthy +[0-9ms]+ \(x[0-9]+ over [0-9ms]+\) +kubelet +spec.containers\{c\}: Readiness probe failed: not yet"
    And `kubectl describe pod ill` prints a line like "Normal +Killing .* kubelet +spec.containers\{c\}: Container c failed liveness probe, will be restarted"
    And `kubectl get pod rooted` prints "CreateContainerConfigError"
    And `kubectl describe pod rooted` prints "Error: container has runAsNonRoot and image will run as root (pod: "

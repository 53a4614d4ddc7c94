Feature: Back to how it was
  A snapshot keeps a whole cluster by a name: its objects, and the disks of its nodes.

  Background:
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: notes
      spec:
        nodeName: minion-1
        terminationGracePeriodSeconds: 1
        containers:
        - name: web
          image: nginx
          volumeMounts:
          - {name: own, mountPath: /own}
          - {name: host, mountPath: /host}
        volumes:
        - name: own
          emptyDir: {}
        - name: host
          hostPath: {path: /srv/notes, type: DirectoryOrCreate}
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: web
      spec:
        replicas: 2
        selector:
          matchLabels: {app: web}
        template:
          metadata:
            labels: {app: web}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - name: nginx
              image: nginx
      """
    And pod "notes" is running and ready
    And 2 pods with label "app=web" are running and ready
    And `kubectl create configmap state --from-literal=is=one` succeeds
    And `kubectl exec notes -- sh -c 'echo one >/own/file; echo one >/host/file; echo one >/etc/file'` succeeds

  Scenario: what was broken since then is as before
    When `wheelhouse snapshot save --replace before` prints "its containers stood still for"
    And `kubectl get configmap state -o jsonpath={.metadata.resourceVersion} >seen` succeeds
    And `kubectl exec notes -- sh -c 'echo two >/own/file; echo two >/host/file; echo >/host/more'` succeeds
    And `kubectl create configmap state --from-literal=is=two --dry-run=client -o yaml | kubectl replace -f -` succeeds
    And `kubectl delete deployment web` succeeds
    And `kubectl run extra --image=nginx --restart=Never --overrides='{"spec":{"nodeName":"minion-2"}}'` succeeds
    Then pod "extra" is running and ready
    When `wheelhouse snapshot restore before` prints "is as it was at"
    Then `kubectl get configmap state -o jsonpath={.data.is}` prints "one"
    And pod "notes" is running and ready
    And `kubectl exec notes -- sh -c 'cat /own/file /host/file; ls /host /etc/file 2>/dev/null' | tr '\n' ' '` prints "one one /host: file "
    And 2 pods with label "app=web" are running and ready
    And `kubectl get pods -o name | sort | grep -c extra || true` prints a line like "^0$"
    And `docker ps -a --filter label=wheelhouse.cluster=$WHEELHOUSE_CLUSTER --filter label=io.kubernetes.pod.namespace=$NAMESPACE --filter label=io.kubernetes.pod.name=extra -q | wc -l` prints a line like "^0$"
    # Who has seen what is lost begins again.
    And `kubectl get --raw "/api/v1/namespaces/$NAMESPACE/configmaps?watch=1&resourceVersion=$(( $(cat seen) + 3 ))" 2>&1 || true` prints "too old resource version"
    When `kubectl scale deployment web --replicas=3` succeeds
    Then 3 pods with label "app=web" are running and ready
    # It can be restored again, and revisions still go on.
    When `wheelhouse snapshot restore before` prints "is as it was at"
    Then 2 pods with label "app=web" are running and ready
    And `test $(kubectl get node minion-1 -o jsonpath={.metadata.resourceVersion}) -gt 2000000000 && echo larger` prints "larger"
    And `wheelhouse snapshot list` prints "before"
    When `wheelhouse snapshot delete before` succeeds
    Then `wheelhouse snapshot restore before 2>&1 || true` prints "has no snapshot"

  Scenario: a restore is killed, and the cluster is as before or as the snapshot
    When `wheelhouse snapshot save --replace before` succeeds
    And `kubectl exec notes -- sh -c 'echo two >/host/file'` succeeds
    And `kubectl create configmap state --from-literal=is=two --dry-run=client -o yaml | kubectl replace -f -` succeeds
    And a restore of snapshot "before" is killed when "restoring/staged" appears, and the cluster is brought up again
    Then `kubectl get configmap state -o jsonpath={.data.is}; kubectl exec notes -- cat /host/file` prints "twotwo"
    When a restore of snapshot "before" is killed when "restoring/commit" appears, and the cluster is brought up again
    Then `kubectl get configmap state -o jsonpath={.data.is}; kubectl exec notes -- cat /host/file` prints "oneone"
    And 2 pods with label "app=web" are running and ready
    When `wheelhouse snapshot delete before` succeeds
    Then `ls $(dirname $(wheelhouse kubeconfig)) | grep -cE 'restoring|discarded' || true` prints a line like "^0$"

Feature: What happened to an object
  wheelhouse journey puts together what the components have recorded of an object and of its owners.

  Scenario: a pod of a deployment, from the request to its containers
    When `kubectl create deployment web --image=nginx` succeeds
    And `kubectl rollout status deployment/web --timeout=120s` succeeds
    Then `wheelhouse journey $(kubectl get pods -l app=web -o name) | tee seen` prints "created, uid"
    And `cat seen` prints a line like "^deployment/web$"
    And `cat seen` prints a line like "create by user [^ ]+ with kubectl/.*stored as resourceVersion [0-9]+ after [0-9.]+ ms.*kube-apiserver"
    And `cat seen` prints a line like "create by user system:kube-controller-manager .*changed by admission: ServiceAccount, Priority"
    And `cat seen` prints a line like "node minion-[12] chosen .*minion-[12] score [0-9]+; minion-[12] score [0-9]+.*kube-scheduler"
    And `cat seen` prints a line like "create of binding by user system:kube-scheduler"
    And `cat seen` prints a line like "sandbox created, in [0-9.]+ ms .kubelet"
    And `cat seen` prints a line like "network attached, in"
    And `cat seen` prints a line like "volumes set up, in"
    And `cat seen` prints a line like "image of container nginx is present, in"
    And `cat seen` prints a line like "container nginx started, in"
    And `cat seen` prints a line like "patch of status by user system:node:minion-[12]"
    And `wheelhouse journey --output json $(kubectl get pods -l app=web -o name)` prints "tookMilliseconds"

  Scenario: a service, to the rules on each node
    When `kubectl create deployment web --image=nginx` succeeds
    And `kubectl expose deployment web --port=80` succeeds
    And `kubectl rollout status deployment/web --timeout=120s` succeeds
    Then `wheelhouse journey service/web` prints a line like "rules written on node minion-1, from 10.*:80 to 10.*:80, in [0-9.]+ ms .kube-proxy"
    And `wheelhouse journey service/web` prints a line like "rules written on node minion-2, from 10.*:80 to 10.*:80, in [0-9.]+ ms .kube-proxy"
    And `wheelhouse journey service/web` prints a line like "^endpointslice/web-"
    And `wheelhouse journey $(kubectl get pods -l app=web -o name)` prints a line like "rules written on node minion-2, from 10.*:80 to 10.*:80"
    And `wheelhouse journey $(kubectl get pods -l app=web -o name)` prints a line like "update by user system:kube-controller-manager|create by user system:kube-controller-manager"

  Scenario: what a probe was asked and what was answered
    When the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: probed}
      spec:
        containers:
        - name: web
          image: nginx
          readinessProbe:
            httpGet: {path: /missing, port: 80}
            periodSeconds: 1
            failureThreshold: 1
      """
    Then `wheelhouse journey pod/probed` prints a line like "readiness probe of container web, GET http://10[.0-9]+:80/missing: failed after [0-9.]+ ms: HTTP probe failed with statuscode: 404 .kubelet"
    When `kubectl wait --for=jsonpath={.status.phase}=Running pod/probed --timeout=60s` succeeds
    And `kubectl exec probed -- sh -c 'echo yes >/usr/share/nginx/html/missing'` succeeds
    Then `wheelhouse journey pod/probed` prints a line like "readiness probe of container web, GET http://10[.0-9]+:80/missing, in [0-9.]+ ms .kubelet"

  Scenario: creates that were refused
    When `kubectl create quota none --hard=pods=0` succeeds
    And `kubectl wait --for=jsonpath={.status.hard.pods}=0 quota/none --timeout=60s` succeeds
    And `kubectl create deployment web --image=nginx` succeeds
    Then `wheelhouse journey deployment/web` prints a line like "^replicaset/web-"
    And `wheelhouse journey deployment/web` prints a line like "create of pods/web-[^ ]+ by user system:kube-controller-manager with [^ ]+ was refused: .*exceeded quota: none"
    And `wheelhouse journey deployment/web` prints "FailedCreate"
    And `kubectl run second --image=nginx` fails with "exceeded quota"
    And `wheelhouse journey pod/second` prints a line like "create of pods/second by user [^ ]+ with kubectl/[^ ]+ was refused: .*exceeded quota: none"
    And `wheelhouse journey pod/third` fails with "not found"

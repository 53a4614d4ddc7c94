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

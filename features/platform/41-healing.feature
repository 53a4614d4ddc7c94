Feature: What heals itself, and what it says when it cannot
  Sets and deployments bring back what is missing; where they cannot, status and events say why.

  Background:
    Given the objects:
      """
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: hello
        annotations: {kubernetes.io/change-cause: the first}
      spec:
        replicas: 3
        selector:
          matchLabels: {app: hello, track: stable}
        template:
          metadata:
            labels: {app: hello, track: stable}
          spec:
            containers:
            - name: hello
              image: askcarter/hello:1.0.0
              ports: [{name: http, containerPort: 80}]
              readinessProbe:
                httpGet: {path: /readiness, port: 81}
                periodSeconds: 1
      """
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds

  @M5
  Scenario: a pod that goes is replaced, and so is a set
    When `kubectl delete $(kubectl get pod -l app=hello -o name | head -1) --wait=false` succeeds
    Then 3 pods with label "app=hello" are running and ready
    When `kubectl delete rs -l app=hello --wait=false` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    Then 3 pods with label "app=hello" are running and ready
    When `kubectl label $(kubectl get pod -l app=hello -o name | head -1) track=debug --overwrite` succeeds
    Then 3 pods with label "track=stable" are running and ready
    And `kubectl get pods -l track=debug -o jsonpath={.items[*].metadata.ownerReferences}` prints nothing
    When `kubectl delete deployment hello` succeeds
    Then no pod with label "track=stable" is left
    And `kubectl get pods -l track=debug -o name | wc -l` prints "1"

  @N4
  Scenario: a ReplicaSet of the field notes counts what its selector matches
    Given the objects:
      """
      apiVersion: extensions/v1beta1
      kind: ReplicaSet
      metadata:
        # required unique field
        name: node-js-rs
      spec:
        replicas: 3
        selector:
          # The selector should be a proper subset
          # of the labels in the Pod template.
          matchLabels:
            app: node-js-express
            deployment: test
          matchExpressions:
            - { key: name, operator: In, values: [node-js-rs] }
        # Pod template
        template:
          metadata:
            labels:
              name: node-js-rs
              app: node-js-express
              deployment: test
              version: v1
          spec:
            containers:
            - name: node-js-rs
              image: jonbaier/node-express-info:latest
              ports:
              - containerPort: 80
      """
    Then 3 pods with label "name=node-js-rs" are running and ready
    And `kubectl get rs node-js-rs` prints a line like "^node-js-rs +3 +3 +3 "
    And `kubectl get rs node-js-rs -o wide` prints "app=node-js-express,deployment=test,name in (node-js-rs)"
    And `kubectl describe rs node-js-rs` prints a line like "Selector: +app=node-js-express,deployment=test,name in \(node-js-rs\)"
    And `kubectl describe rs node-js-rs` prints a line like "Normal +SuccessfulCreate .* replicaset-controller +Created pod: node-js-rs-"
    When `kubectl label $(kubectl get pod -l name=node-js-rs -o name | head -1) name=other --overwrite` succeeds
    Then 3 pods with label "name=node-js-rs" are running and ready
    And `kubectl get pods -l name=other -o jsonpath={.items[*].metadata.ownerReferences}` prints nothing
    When `kubectl label pod -l name=other name=node-js-rs --overwrite` succeeds
    Then 3 pods with label "name=node-js-rs" are running and ready
    And `kubectl describe rs node-js-rs` prints a line like "Normal +SuccessfulDelete .* replicaset-controller +Deleted pod: node-js-rs-"
    When `kubectl annotate $(kubectl get pod -l name=node-js-rs -o name | tail -1) controller.kubernetes.io/pod-deletion-cost=-1 && kubectl get pod -l name=node-js-rs -o name | tail -1 > cheap && kubectl scale rs node-js-rs --replicas=2` succeeds
    Then 2 pods with label "name=node-js-rs" are running and ready
    And `kubectl get $(cat cheap)` fails with "not found"

  @M6
  Scenario: what keeps a rollout from getting on is said where people look
    When `kubectl patch deployment hello -p '{"spec":{"progressDeadlineSeconds":5}}'` succeeds
    And `kubectl set image deployment/hello hello=nosuch.invalid/hello:3` succeeds
    Then `kubectl rollout status deployment/hello --timeout=150s` fails with "exceeded its progress deadline"
    And `kubectl describe deployment hello` prints a line like "Progressing +False +ProgressDeadlineExceeded"
    And `kubectl describe deployment hello` prints a line like "Available +True +MinimumReplicasAvailable"
    And `kubectl get deployment hello` prints a line like "^hello +3/3 +1 +3 "
    And `kubectl get pods -l app=hello` prints a line like "^hello-.* 0/1 +ImagePullBackOff"
    When `kubectl rollout undo deployment/hello` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    And `kubectl patch deployment hello --type=json -p '[{"op":"add","path":"/spec/template/spec/containers/0/command","value":["hello","-nosuch"]}]'` succeeds
    Then `kubectl get pods -l app=hello` prints a line like "^hello-.* 0/1 +CrashLoopBackOff +[1-9]"
    And `kubectl get deployment hello` prints a line like "^hello +3/3 +1 +3 "
    And `kubectl rollout status deployment/hello --timeout=150s` fails with "exceeded its progress deadline"

  @M5 @W17
  Scenario: a quota that is reached is shown by replica set and deployment
    When `kubectl create quota small --hard=pods=4` succeeds
    And `kubectl get quota small -o jsonpath={.status.used.pods}` prints "3"
    And `kubectl scale deployment hello --replicas=6` succeeds
    Then `kubectl describe deployment hello` prints a line like "ReplicaFailure +True +FailedCreate"
    And `kubectl get deployment hello -o jsonpath={.status.conditions[*].message}` prints "exceeded quota: small, requested: pods=1, used: pods=4, limited: pods=4"
    And `kubectl describe rs -l app=hello` prints a line like "Warning +FailedCreate .* replicaset-controller +Error creating: pods .hello-.* is forbidden: exceeded quota: small"
    When `kubectl delete quota small` succeeds
    And `kubectl rollout status deployment/hello --timeout=90s` succeeds
    Then `kubectl get deployment hello -o jsonpath={.status.conditions[*].type}` prints "Available"
    And `kubectl describe deployment hello | grep -c ReplicaFailure; true` prints a line like "^0$"
    When `kubectl create quota sets --hard=count/replicasets.apps=1` succeeds
    And `kubectl get quota sets -o jsonpath={.status.used}` prints "1"
    And `kubectl set image deployment/hello hello=askcarter/hello:2.0.0` succeeds
    Then `kubectl describe deployment hello` prints a line like "Progressing +False +ReplicaSetCreateError"
    And `kubectl describe deployment hello` prints a line like "Warning +ReplicaSetCreateError .* deployment-controller +Failed to create new replica set .hello-.* is forbidden: exceeded quota: sets"
    When `kubectl delete quota sets` succeeds
    And `kubectl rollout status deployment/hello --timeout=90s` succeeds
    Then `kubectl describe deployment hello` prints a line like "Progressing +True +NewReplicaSetAvailable"

  @M6
  Scenario: the old go before the new come, where two must not meet
    When `kubectl patch deployment hello --type=json -p '[{"op":"replace","path":"/spec/strategy","value":{"type":"Recreate"}},{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"askcarter/hello:2.0.0"}]'` succeeds
    And `while sleep 0.2; do kubectl get pods -l app=hello --field-selector status.phase!=Succeeded,status.phase!=Failed -o jsonpath='{.items[*].spec.containers[0].image}' | tr ' ' '\n' | sort -u | wc -l; kubectl rollout status deployment/hello --timeout=1s >/dev/null 2>&1 && break; done > images` succeeds
    Then `sort -n images | tail -1` prints a line like "^1$"
    And `kubectl describe deployment hello` prints a line like "StrategyType: +Recreate"

  @M6
  Scenario: a budget shows how many pods may be evicted
    When `kubectl create poddisruptionbudget hello --selector=app=hello --max-unavailable=1` succeeds
    Then `kubectl get pdb hello` prints a line like "^hello +N/A +1 +1 "
    And `kubectl describe pdb hello` prints a line like "Allowed disruptions: +1"
    And `kubectl get pdb hello -o jsonpath={.status.conditions[0].reason}` prints "SufficientPods"
    When `kubectl patch deployment hello -p '{"spec":{"replicas":4,"template":{"spec":{"containers":[{"name":"hello","image":"nosuch.invalid/hello:3"}]}}}}'` succeeds
    Then `kubectl get pdb hello -o jsonpath={.status.conditions[0].reason}` prints "InsufficientPods"

  @M5 @silence @long
  Scenario: a node falls silent, and a deployment's pods are replaced elsewhere
    When `kubectl patch deployment hello -p '{"spec":{"template":{"spec":{"tolerations":[{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":1},{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":1}]}}}}'` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    And the pods with label "app=hello" run on 2 nodes
    And the node process of "minion-2" is killed
    Then node "minion-2" becomes not ready
    And `kubectl get pods -l app=hello --field-selector spec.nodeName=minion-1,status.phase=Running -o name | wc -l` prints "3"
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    When the cluster is brought up again
    Then node "minion-2" is ready

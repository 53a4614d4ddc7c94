Feature: Deployments
  What is deployed heals itself, and is replaced by its next version while it serves. A request
  is lost when it is refused, or takes more than 5 s: that is measured with nothing beside it.

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
    And the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: client}
      spec:
        nodeName: minion-1
        terminationGracePeriodSeconds: 1
        containers:
        - {name: shell, image: "busybox:1.35", command: ["sleep", "3600"]}
      """
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds

  @M6 @alone
  Scenario: a rolling update, the way back, and another size lose no request
    And `kubectl expose deployment hello --type=NodePort --port=80 --target-port=80 --selector=app=hello` succeeds
    And pod "client" is running and ready
    And port 80 of service "hello" answers "/version" with "1.0.0"
    When clients on the host, on node "minion-1" and in pod "client" ask "/version" of service "hello" without rest
    And each client has been answered 20 times more
    And `kubectl set image deployment/hello hello=askcarter/hello:2.0.0` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    Then from now on all answers are "2.0.0"
    When `kubectl rollout undo deployment/hello` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    Then from now on all answers are "1.0.0"
    When `kubectl rollout restart deployment/hello` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    And `kubectl scale deployment/hello --replicas=6` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    And `kubectl scale deployment/hello --replicas=1` succeeds
    And 1 pod with label "app=hello" is running and ready
    And each client has been answered 20 times more
    Then no request was lost

  @M6 @alone
  Scenario: a program that closes its port at the first signal loses no request
    When `kubectl patch deployment hello -p '{"spec":{"template":{"spec":{"containers":[{"name":"hello","args":["-drain","0s"]}]}}}}'` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    And `kubectl expose deployment hello --type=NodePort --port=80 --target-port=80 --selector=app=hello` succeeds
    And port 80 of service "hello" answers "/version" with "1.0.0"
    And clients on the host, on node "minion-1" and in pod "client" ask "/version" of service "hello" without rest
    And each client has been answered 20 times more
    And `kubectl set image deployment/hello hello=askcarter/hello:2.0.0` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    Then from now on all answers are "2.0.0"
    When `kubectl scale deployment/hello --replicas=1` succeeds
    And 1 pod with label "app=hello" is running and ready
    And each client has been answered 20 times more
    Then no request was lost

  @M5 @T1 @alone
  Scenario: a node is drained while its pods serve
    When `kubectl expose deployment hello --type=NodePort --port=80 --target-port=80 --selector=app=hello` succeeds
    And `kubectl create poddisruptionbudget hello --selector=app=hello --max-unavailable=1` succeeds
    And port 80 of service "hello" answers "/version" with "1.0.0"
    And clients on the host, on node "minion-1" and in pod "client" ask "/version" of service "hello" without rest
    And `kubectl drain minion-2 --ignore-daemonsets --delete-emptydir-data --force --pod-selector=app=hello --timeout=60s` succeeds
    Then `kubectl get pods -l app=hello --field-selector spec.nodeName=minion-1,status.phase=Running -o name | wc -l` prints "3"
    And `kubectl uncordon minion-2` succeeds
    And each client has been answered 20 times more
    And no request was lost

  @M6 @alone
  Scenario: a canary gets its share, and leaves
    And `kubectl expose deployment hello --type=NodePort --port=80 --target-port=80 --selector=app=hello` succeeds
    And pod "client" is running and ready
    And port 80 of service "hello" answers "/version" with "1.0.0"
    When clients on the host, on node "minion-1" and in pod "client" ask "/version" of service "hello" without rest
    And `kubectl get deployment hello -o yaml | sed -e 's/name: hello$/name: canary/;s/track: stable/track: canary/;s/1.0.0/2.0.0/;s/replicas: 3/replicas: 1/;/resourceVersion\|uid:\|revision/d' | kubectl create -f -` succeeds
    And `kubectl rollout status deployment/canary --timeout=150s` succeeds
    Then 15 to 35 of 100 answers to new connections are "2.0.0"
    When `kubectl delete deployment canary` succeeds
    And no pod with label "track=canary" is left
    Then from now on all answers are "1.0.0"
    And no request was lost

  @M6 @alone
  Scenario: blue gives way to green at once
    And `kubectl expose deployment hello --type=NodePort --port=80 --target-port=80 --selector=app=hello,track=stable` succeeds
    And pod "client" is running and ready
    And port 80 of service "hello" answers "/version" with "1.0.0"
    When clients on the host, on node "minion-1" and in pod "client" ask "/version" of service "hello" without rest
    And `kubectl get deployment hello -o yaml | sed -e 's/name: hello$/name: green/;s/track: stable/track: green/;s/1.0.0/2.0.0/;/resourceVersion\|uid:\|revision/d' | kubectl create -f -` succeeds
    And `kubectl rollout status deployment/green --timeout=150s` succeeds
    And each client has been answered 20 times more
    And `kubectl set selector service hello app=hello,track=green` succeeds
    Then from now on all answers to new connections are "2.0.0"
    When `kubectl delete deployment hello` succeeds
    And no pod with label "track=stable" is left
    Then from now on all answers are "2.0.0"
    And no request was lost

  @M6
  Scenario: history, pause, resume, undo
    When `kubectl set image deployment/hello hello=askcarter/hello:2.0.0` succeeds
    And `kubectl annotate deployment/hello kubernetes.io/change-cause="the second" --overwrite` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    Then `kubectl rollout history deployment/hello` prints:
      """
      REVISION CHANGE-CAUSE
      1 the first
      2 the second
      """
    And `kubectl rollout history deployment/hello --revision=1` prints "askcarter/hello:1.0.0"
    And `kubectl get deployment hello` prints the columns "NAME READY UP-TO-DATE AVAILABLE AGE"
    And `kubectl get deployment hello` prints a line like "^hello +3/3 +3 +3 "
    And `kubectl get rs -l app=hello` prints a line like "^hello-[a-z0-9]+ +3 +3 +3 "
    And `kubectl get rs -l app=hello` prints a line like "^hello-[a-z0-9]+ +0 +0 +0 "
    And `kubectl describe deployment hello` prints a line like "Normal +ScalingReplicaSet +.* deployment-controller +Scaled up replica set hello-[a-z0-9]+ from 0 to 3"
    And `kubectl describe deployment hello` prints a line like "Normal +ScalingReplicaSet +.* deployment-controller +Scaled down replica set hello-[a-z0-9]+ from 1 to 0"
    And `kubectl describe deployment hello` prints a line like "Progressing +True +NewReplicaSetAvailable"
    And `kubectl describe deployment hello` prints a line like "Available +True +MinimumReplicasAvailable"
    And `kubectl describe $(kubectl get rs -l app=hello -o name | head -1)` prints a line like "Normal +SuccessfulCreate +.* replicaset-controller +Created pod: hello-"
    When `kubectl rollout pause deployment/hello` succeeds
    And `kubectl set env deployment/hello COLOUR=green` succeeds
    And `kubectl set resources deployment/hello --limits=memory=64Mi` succeeds
    Then `kubectl describe deployment hello` prints a line like "Progressing +Unknown +DeploymentPaused"
    And `kubectl get deployment hello` prints a line like "^hello +3/3 +0 +3 "
    And `kubectl rollout undo deployment/hello` fails with "you cannot rollback a paused deployment"
    When `kubectl rollout resume deployment/hello` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    Then `kubectl rollout history deployment/hello` prints a line like "^3 "
    When `kubectl rollout undo deployment/hello --to-revision=1` succeeds
    And `kubectl rollout status deployment/hello --timeout=150s` succeeds
    Then `kubectl get deployment hello -o wide` prints "askcarter/hello:1.0.0"
    And `kubectl rollout history deployment/hello` prints:
      """
      2 the second
      3 the second
      4 the first
      """

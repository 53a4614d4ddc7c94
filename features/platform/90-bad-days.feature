Feature: Bad days
  Processes are killed, containers vanish, nodes fall silent: what was promised stays true.

  Background:
    Given the objects:
      """
      apiVersion: v1
      kind: ReplicationController
      metadata:
        name: web
      spec:
        replicas: 2
        selector: {app: web}
        template:
          metadata:
            labels: {app: web}
          spec:
            terminationGracePeriodSeconds: 1
            tolerations:
            - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 2}
            - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 2}
            containers:
            - name: nginx
              image: nginx
      """
    And the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: watched
      spec:
        nodeName: minion-1
        terminationGracePeriodSeconds: 1
        containers:
        - name: web
          image: nginx
      """
    And 2 pods with label "app=web" are running and ready
    And pod "watched" is running and ready
    And the containers of pod "watched" are noted

  Scenario: the server is killed in the middle of 1,000 creates
    When the server is killed while 1000 objects are created, and started again
    Then pod "watched" has the same containers, none of them restarted
    And at least 3 nodes are ready
    When `kubectl scale rc web --replicas=3` succeeds
    Then 3 pods with label "app=web" are running and ready

  Scenario: a node process is killed, and adopts its containers
    When the node process of "minion-1" is killed
    Then port 80 of pod "watched" answers "/" with "Welcome to nginx!"
    When the cluster is brought up again
    Then pod "watched" is running and ready
    And pod "watched" has the same containers, none of them restarted
    And `kubectl exec watched -- echo back` prints "back"

  Scenario: a killed container is back within seconds
    When container "web" of pod "watched" is killed behind the kubelet's back
    Then pod "watched" has restarted 1 times
    And pod "watched" is running and ready
    And port 80 of pod "watched" answers "/" with "Welcome to nginx!"

  Scenario: a removed container is back within seconds
    When container "web" of pod "watched" is removed behind the kubelet's back
    Then pod "watched" is running and ready
    And port 80 of pod "watched" answers "/" with "Welcome to nginx!"

  @N5 @M5 @long
  Scenario: a node falls silent, and its pods are replaced elsewhere
    When the node process of "minion-2" is killed
    Then node "minion-2" becomes not ready
    And `kubectl get pods -l app=web --field-selector spec.nodeName=minion-1,status.phase=Running -o name | wc -l` prints "2"
    When the cluster is brought up again
    Then node "minion-2" is ready

  @dockerd @alone
  Scenario: the Docker Engine is restarted, and the cluster heals
    When the Docker Engine is restarted
    Then 2 pods with label "app=web" are running and ready
    And pod "watched" is running and ready
    And port 80 of pod "watched" answers "/" with "Welcome to nginx!"

Feature: Pods by label
  What labs/trial/01-nginx: each scenario holds at the point of the text that names it.

  @T1
  Scenario: the nodes are ready, and the master is cordoned
    Then at least 3 nodes are ready
    And `kubectl get nodes` prints the columns "NAME STATUS ROLES AGE VERSION"
    And `kubectl get nodes` prints a line like "^master +Ready,SchedulingDisabled "
    And `kubectl get nodes` prints a line like "^minion-1 +Ready +"
    And `kubectl cluster-info` prints "is running at"

  @T2
  Scenario: the pod shows its page
    Then pod "nginx" is running and ready
    And `kubectl get pod -o wide` prints the columns "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"
    And `kubectl get pod nginx -o go-template={{.status.podIP}}` prints a line like "^10\.[0-9]+\.[0-9]+\.[0-9]+$"
    And port 80 of pod "nginx" answers "/" with "Welcome to nginx!"

  @T2
  Scenario: a name is unique, and the label selects the pod
    Then 1 pod with label "app=nginx" is running and ready
    And `kubectl create --dry-run=server -f pod_nginx.yaml` fails with "already exists"

  @T3
  Scenario: the controller adopted the pod and created one more
    Then 2 pods with label "app=nginx" are running and ready
    And pod "nginx" is owned by ReplicationController "nginx-controller"
    And pod "nginx" has restarted 0 times
    And `kubectl get rc nginx-controller` prints a line like "^nginx-controller +2 +2 +2 "

  @T3
  Scenario: deleting the controller took both pods
    Then no pod with label "app=nginx" is left
    And `kubectl get rc nginx-controller` fails with "NotFound"

  @T4
  Scenario: the service has no endpoints yet
    Then service "nginx-service" has no endpoints
    And `kubectl describe service nginx-service` prints a line like "^Endpoints: *(<none>)?$"

  @T4
  Scenario: the endpoints are the pods
    Then service "nginx-service" has as endpoints the 2 ready pods with label "app=nginx"
    And `kubectl describe service nginx-service` prints a line like "^Endpoints: +10\.[0-9.]+:80,10\.[0-9.]+:80"
    And port 8000 of service "nginx-service" answers "/" with "Welcome to nginx!"

  @T4
  Scenario: nginx answers on a port of every node
    Then the node port of service "nginx-nodeport" answers "/" on every node with "Welcome to nginx!"

  @T4
  Scenario: deleting the service left the pods
    Then 2 pods with label "app=nginx" are running and ready
    And `kubectl get rc nginx-controller` prints a line like "^nginx-controller +2 +2 +2 "
    And `kubectl get service nginx-service` fails with "NotFound"

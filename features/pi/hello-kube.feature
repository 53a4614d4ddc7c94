Feature: What each part does

  @P3
  Scenario: the second text stands, the third was refused
    Then `kubectl get configmap note -o jsonpath={.data.text}` prints a line like "^second$"

  @P3
  Scenario: the pod runs on the node that you chose
    Then pod "waiting" is running and ready
    And `kubectl get pod waiting -o jsonpath={.spec.schedulerName}` prints "by-hand"

  @P4
  Scenario: three pods behind the address of a service
    Then service "my-nginx" has as endpoints the 3 ready pods with label "app=my-nginx"
    And port 80 of service "my-nginx" answers "/" with "nginx"

  @P5
  Scenario: the node's own address answers at port 8300
    Then 2 pods with label "app=hello-kube" are running and ready
    And `curl -s -m 5 http://$(kubectl get svc hello-kube -o jsonpath={.spec.clusterIP}):8300/` prints "Inspector 1.0.0"
    And `curl -s -m 5 http://$(kubectl get svc hello-kube -o jsonpath={.spec.externalIPs[0]}):8300/` prints "Inspector 1.0.0"

  @P5
  Scenario: nothing is left of hello-kube
    Then `kubectl get service,deployment,pods -o name | grep -c hello-kube || true` prints a line like "^0$"
    And `kubectl get deployment my-nginx -o name` prints "deployment.apps/my-nginx"

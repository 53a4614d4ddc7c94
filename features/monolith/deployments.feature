Feature: Services and deployments
  What labs/monolith/03-deployments: each scenario holds at the point of the text that names it.

  @M5
  Scenario: seven monoliths behind one service
    Then 7 pods with label "app=monolith" are running and ready
    And service "monolith" has as endpoints the 7 ready pods with label "app=monolith"
    And `kubectl get service monolith` prints a line like "^monolith +LoadBalancer +10\.[0-9.]+ +[^ ]+ +80:3[0-2][0-9]+/TCP "
    And the node port of service "monolith" answers "/" on every node with "Hello"

  @M5
  Scenario: a deployment has created a replica set and a pod
    Then `kubectl get deployment auth` prints a line like "^auth +1/1 +1 +1 "
    And `kubectl get replicasets -l app=auth` prints a line like "^auth-[a-z0-9]+ +1 +1 +1 "
    And 1 pod with label "app=auth" is running and ready
    And `kubectl describe deployment auth` prints:
      """
      Name: auth
      Selector: app=auth,track=stable
      Replicas: 1 desired | 1 updated | 1 total | 1 available | 0 unavailable
      StrategyType: RollingUpdate
      Image: askcarter/auth:1.0.0
      Conditions:
      Available True MinimumReplicasAvailable
      Events:
      ScalingReplicaSet
      """

  @M4 @M5 @M8
  Scenario: three services answer as one application
    Then port 443 of service "frontend" answers "/" over TLS, trusting "tls/ca.pem" for "frontend", with "Hello"
    And `curl -s --cacert tls/ca.pem -u user:password https://$NODE_IP:$(kubectl get service frontend -o jsonpath={.spec.ports[0].nodePort})/login` prints "token"
    And `curl -s --cacert tls/ca.pem https://$NODE_IP:$(kubectl get service frontend -o jsonpath={.spec.ports[0].nodePort})/secure` prints "authorization failed"
    And service "auth" has as endpoints the 1 ready pods with label "app=auth"
    And service "hello" has as endpoints the 1 ready pods with label "app=hello"

  @M5
  Scenario: three replicas, on more than one node
    Then 3 pods with label "app=hello" are running and ready
    And the pods with label "app=hello" run on 2 nodes
    And service "hello" has as endpoints the 3 ready pods with label "app=hello"

  @M5
  Scenario: the deleted pod is replaced
    Then 3 pods with label "app=hello" are running and ready
    And `kubectl get deployment hello` prints a line like "^hello +3/3 +3 +3 "
    And `kubectl describe replicasets -l app=hello | grep -c SuccessfulCreate` prints a line like "^4$"

  @M5
  Scenario: the drained node has no replica, and there are three
    Then 3 pods with label "app=hello" are running and ready
    And `kubectl get pods -l app=hello -o name --field-selector spec.nodeName=$NODE` prints nothing
    And service "hello" has as endpoints the 3 ready pods with label "app=hello"

  @M5
  Scenario: one replica is left, and the node is uncordoned
    Then 1 pod with label "app=hello" is running and ready
    And `kubectl get nodes --no-headers $NODE` prints a line like "^[^ ]+ +Ready +"

Feature: Rolling updates without a lost request
  What labs/monolith/04-updates: each scenario holds at the point of the text that names it.

  @M6
  Scenario: three pods of version 1
    Then 3 pods with label "app=hello" are running and ready
    And the node port of service "hello" answers "/version" on every node with "1.0.0"
    And `cat steady.txt` prints a line like "^[1-9][0-9]* answered, 0 lost$"

  @M6
  Scenario: all pods are new, and no request was lost
    Then `kubectl get deployment hello` prints a line like "^hello +3/3 +3 +3 "
    And `kubectl get replicasets -l app=hello -o wide` prints a line like " +0 +0 +0 .*hello:1\.0\.0"
    And `kubectl get replicasets -l app=hello -o wide` prints a line like " +3 +3 +3 .*hello:2\.0\.0"
    And the node port of service "hello" answers "/version" on every node with "2.0.0"
    And `kubectl describe deployment hello` prints a line like "Scaled up replica set hello-[a-z0-9]+ (from 0 )?to 1"
    And `kubectl describe deployment hello` prints a line like "Scaled down replica set hello-[a-z0-9]+ from 3 to 2"
    And `cat steady.txt` prints a line like "^[1-9][0-9]+ answered, 0 lost$"

  @M6
  Scenario: version 1 again, and no request was lost
    Then the node port of service "hello" answers "/version" on every node with "1.0.0"
    And `kubectl rollout history deployment/hello` prints:
      """
      REVISION CHANGE-CAUSE
      2 version 2.0.0
      3
      """
    And `cat steady.txt` prints a line like "^[1-9][0-9]+ answered, 0 lost$"

  @M6
  Scenario: while the rollout is paused nothing changes
    Then `kubectl rollout status deployment/hello --watch=false` prints "0 out of 3 new replicas have been updated"
    And 3 pods with label "app=hello" are running and ready
    And the node port of service "hello" answers "/version" on every node with "1.0.0"

  @M6
  Scenario: both changes came in one rollout, and no request was lost
    Then the node port of service "hello" answers "/version" on every node with "2.0.0"
    And `kubectl get deployment hello -o go-template='{{index .metadata.annotations "deployment.kubernetes.io/revision"}}'` prints a line like "^[45]$"
    And `kubectl get pods -l app=hello -o jsonpath={.items[0].spec.containers[0].env[0].value}` prints "sunny"
    And `cat steady.txt` prints a line like "^[1-9][0-9]+ answered, 0 lost$"

  @M6
  Scenario: a version that does not exist interrupts nothing
    Then `kubectl get pods -l app=hello` prints a line like " 0/1 +(ErrImagePull|ImagePullBackOff) "
    And `kubectl get deployment hello` prints a line like "^hello +3/3 +1 +3 "
    And the node port of service "hello" answers "/version" on every node with "2.0.0"
    And `cat steady.txt` prints a line like "^[1-9][0-9]+ answered, 0 lost$"

  @M6
  Scenario: three stable pods and a canary share the requests
    Then 3 pods with label "app=hello,track=stable" are running and ready
    And 1 pod with label "app=hello,track=canary" is running and ready
    And service "hello" has as endpoints the 4 ready pods with label "app=hello"
    And `port=$(kubectl get service hello -o jsonpath={.spec.ports[0].nodePort}); curl -s -m 20 -H 'Connection: close' "http://$NODE_IP:$port/version?[1-30]" | sort | uniq -c` prints:
      """
      {"version":"1.0.0"}
      {"version":"2.0.0"}
      """

  @M6
  Scenario: the steady client lost no request
    Then no pod with label "track=canary" is left
    And `cat steady.txt` prints a line like "^[1-9][0-9][0-9]+ answered, 0 lost$"

  @M6
  Scenario: the service selects blue
    Then service "hello-bg" has as endpoints the 2 ready pods with label "app=hello-bg,colour=blue"
    And 2 pods with label "app=hello-bg,colour=green" are running and ready
    And the node port of service "hello-bg" answers "/version" on every node with "1.0.0"

  @M6
  Scenario: the service selects green, and no request was lost
    Then service "hello-bg" has as endpoints the 2 ready pods with label "app=hello-bg,colour=green"
    And the node port of service "hello-bg" answers "/version" on every node with "2.0.0"
    And `cat bluegreen.txt` prints a line like "^[1-9][0-9]+ answered, 0 lost$"
    And a steady client of service "hello-bg" loses no request for "/version" while `kubectl set selector service hello-bg app=hello-bg,colour=blue && sleep 1 && kubectl set selector service hello-bg app=hello-bg,colour=green` runs

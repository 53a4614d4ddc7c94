Feature: A guestbook in three parts

  @T4 @T5
  Scenario: the store answers at the address of its service
    Then service "redis-master" has as endpoints the 1 ready pods with label "app=redis,role=master"
    And `kubectl exec deployment/redis-master -- redis-cli -h redis-master ping` prints "PONG"

  @T3 @M8
  Scenario: two replicas follow the store
    Then service "redis-slave" has as endpoints the 2 ready pods with label "app=redis,role=slave"
    And `for pod in $(kubectl get pod -l role=slave -o name); do kubectl exec $pod -- redis-cli info replication | grep -q master_link_status:up || exit 1; done; echo all` prints "all"

  @M8
  Scenario: a message is written and read
    Then 3 pods with label "app=guestbook" are running and ready
    And port 80 of service "frontend" answers "/" with "hello"
    And port 80 of service "frontend" answers "/guestbook.php?cmd=get&key=messages" with "hello"

  @T5
  Scenario: each node answers, and the type is LoadBalancer
    Then the node port of service "frontend" answers "/" on every node with "hello"
    And `kubectl get service frontend` prints a line like "^frontend +LoadBalancer +10[.]"

  @M8 @T4
  Scenario: the replica that is gone was replaced
    Then service "redis-slave" has as endpoints the 2 ready pods with label "app=redis,role=slave"
    And `kubectl get $(kubectl get deployment redis-slave -o jsonpath={.metadata.annotations.lost-a-pod})` fails with "NotFound"
    And `for pod in $(kubectl get pod -l role=slave -o name); do kubectl exec $pod -- redis-cli get messages | grep -q hello || exit 1; done; echo all` prints "all"

  @W13
  Scenario: the message survives the pod
    Then `kubectl get pvc redis-master` prints a line like "^redis-master +Bound "
    And `kubectl exec deployment/redis-master -- redis-cli get messages` prints "kept"
    And port 80 of service "frontend" answers "/" with "kept"

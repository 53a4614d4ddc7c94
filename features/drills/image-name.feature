Feature: An image that does not exist

  @T2
  Scenario: the image cannot be pulled
    Then `kubectl get pods -l app=hello` prints a line like "^hello-.* 0/1 +(ErrImagePull|ImagePullBackOff) +0 "

  @T2
  Scenario: the right image runs
    Then `kubectl get deployment hello -o jsonpath={.status.updatedReplicas},{.status.availableReplicas},{.status.replicas}` prints "1,1,1"
    And `curl -s http://$(kubectl get pod -l app=hello -o jsonpath={.items[0].status.podIP})/` prints "Hello"

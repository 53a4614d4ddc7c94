Feature: A name in another namespace

  @N6
  Scenario: the till does not find the prices
    Then 1 pod with label "app=till" is running and ready
    And `kubectl logs deployment/till` prints "bad address"

  @N6
  Scenario: the till gets the prices
    Then `kubectl get deployment till -o jsonpath={.status.updatedReplicas},{.status.availableReplicas},{.status.replicas}` prints "1,1,1"
    And `kubectl logs deployment/till` prints "42"

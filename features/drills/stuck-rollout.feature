Feature: A rolling update that hangs

  @M6
  Scenario: the update has begun and does not end
    Then `kubectl get deployment blog -o jsonpath={.status.replicas},{.status.updatedReplicas},{.status.availableReplicas}` prints "3,1,2"
    And `kubectl get deployment blog` prints a line like "^blog +2/2 +1 +2 "
    And `kubectl describe pods -l app=blog --show-events` prints "Readiness probe failed: HTTP probe failed with statuscode: 404"

  @M6
  Scenario: version 2 serves all requests
    Then `kubectl get deployment blog -o jsonpath={.status.replicas},{.status.updatedReplicas},{.status.availableReplicas}` prints "2,2,2"
    And port 80 of service "blog" answers "/" with "2"

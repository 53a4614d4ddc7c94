Feature: A service that reaches nobody

  @N8
  Scenario: the shop runs, and its service reaches nobody
    Then 1 pod with label "app=shop" is running and ready
    And `kubectl get service shop -o name` prints "service/shop"

  @N8
  Scenario: the service reaches the shop
    Then service "shop" has as endpoints the 1 ready pods with label "app=shop"
    And port 80 of service "shop" answers "/" with "open"

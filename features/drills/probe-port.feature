Feature: A probe on the wrong port

  @W7
  Scenario: the news run, and are not ready
    Then `kubectl get pods -l app=news` prints a line like "^news-.* 0/1 +Running +0 "
    And service "news" has no endpoints

  @W7
  Scenario: the news are ready, and the service reaches them
    Then 1 pod with label "app=news" is running and ready
    And port 80 of service "news" answers "/" with "today"

Feature: A service with the wrong target port

  @W20
  Scenario: the cafe runs and has an endpoint
    Then 1 pod with label "app=cafe" is running and ready
    And service "cafe" has as endpoints the 1 ready pods with label "app=cafe"

  @W20
  Scenario: the service sends to the port that the program listens on
    Then port 80 of service "cafe" answers "/" with "menu"

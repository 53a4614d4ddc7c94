Feature: A key that the secret does not have

  @M4
  Scenario: the container cannot be created
    Then `kubectl get pods -l app=mailer` prints a line like "^mailer-.* 0/1 +CreateContainerConfigError +0 "

  @M4
  Scenario: the mailer has its password
    Then 1 pod with label "app=mailer" is running and ready
    And `kubectl logs deployment/mailer` prints "logged in as post"

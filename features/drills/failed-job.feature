Feature: A job that gives up

  @M7
  Scenario: the job has failed
    Then `kubectl get job bills` prints a line like "^bills +Failed +0/1 "
    And `kubectl describe job bills` prints "BackoffLimitExceeded"

  @M7
  Scenario: the bills are written
    Then `kubectl get job bills` prints a line like "^bills +Complete +1/1 "
    And `kubectl logs job/bills` prints "all bills written"

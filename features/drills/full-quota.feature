Feature: A full quota

  @W17
  Scenario: one worker of three runs
    Then `kubectl get quota team -o name` prints "resourcequota/team"
    And `kubectl get deployment workers` prints a line like "^workers +1/3 "

  @W17
  Scenario: three workers run
    Then `kubectl get deployment workers` prints a line like "^workers +3/3 +3 +3 "
    And 3 pods with label "app=workers" are running and ready

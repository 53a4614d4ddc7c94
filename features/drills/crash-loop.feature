Feature: A container that always ends

  @W8
  Scenario: the container of the clock ends again and again
    Then `kubectl get pods -l app=clock` prints a line like "^clock-.* 0/1 +(CrashLoopBackOff|Error) +[1-9]"

  @W8
  Scenario: the clock runs without a restart
    Then 1 pod with label "app=clock" is running and ready
    And `kubectl get pods -l app=clock` prints a line like "^clock-.* 1/1 +Running +0 "
    And `kubectl logs deployment/clock` prints a line like "[0-9][0-9]:[0-9][0-9]:[0-9][0-9] UTC"

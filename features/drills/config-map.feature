Feature: A volume that is not there

  @M4
  Scenario: the pod waits for its volume
    Then `kubectl get pod proxy` prints a line like "^proxy +0/1 +ContainerCreating +0 "
    And `kubectl describe pod proxy` prints a line like "Warning +FailedMount .*configmap .proxy-conf. not found"

  @M4
  Scenario: the proxy has its configuration
    Then pod "proxy" is running and ready
    And port 80 of pod "proxy" answers "/" with "from the config map"

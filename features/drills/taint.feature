Feature: A node with a taint

  @N5
  Scenario: the camera's pod is Pending
    Then pod "camera" is Pending
    And `kubectl describe pod camera` prints a line like "Warning +FailedScheduling .*untolerated taint"

  @N5
  Scenario: the camera runs on its node
    Then pod "camera" is running and ready
    And `test "$(kubectl get pod camera -o jsonpath={.spec.nodeName})" = "$NODE"` succeeds

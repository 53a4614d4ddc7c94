Feature: A database in a pod
  What labs/workshop/01-influxdb: each scenario holds at the point of the text that names it.

  @W5
  Scenario: the first pod runs, and describe shows its state
    Then pod "influxdb" is running and ready
    And `kubectl get pod` prints the columns "NAME READY STATUS RESTARTS AGE"
    And `kubectl get pod influxdb` prints a line like "^influxdb +1/1 +Running +0 "
    And `kubectl get pod --watch --request-timeout=2s || true` prints a line like "^influxdb +1/1 +Running"
    And `kubectl describe pod/influxdb` prints:
      """
      Name:         influxdb
      Namespace:    lab-influxdb
      Node:
      Labels:           name=influxdb
      Status:           Running
      IP:               10.
      Containers:
      influxdb:
      Image:          docker.io/tutum/influxdb:latest
      State:          Running
      Ready:          True
      Restart Count:  0
      Conditions:
      Ready True
      Events:
      Scheduled
      Started
      """

  @W6
  Scenario: the database returns the sum of what was written
    Then the InfluxDB of pod "influxdb" answers "SELECT SUM(count) FROM pod" with 10

  @W11
  Scenario: the stopped pod is gone
    Then pod "influxdb" is gone
    And `kubectl get pod influxdb` fails with "NotFound"

  @W7 @W11
  Scenario: the probes succeed
    Then `kubectl describe pod/influxdb` prints:
      """
      Liveness:       http-get http://:8086/ping delay=15s timeout=1s period=10s #success=1 #failure=3
      Readiness:      http-get http://:8086/ping delay=5s timeout=1s period=10s #success=1 #failure=3
      """
    And pod "influxdb" is running and ready
    And port 8086 of pod "influxdb" answers "/ping" with status 204
    And pod "influxdb" has restarted 0 times

  @W9
  Scenario: the limits hold inside the container
    Then pod "influxdb" is running and ready
    And in pod "influxdb" `cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes` prints "134217728"
    And in pod "influxdb" `cat /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us` prints "50000"
    And `kubectl get pod influxdb -o jsonpath={.spec.containers[0].resources.requests}` prints "500m"

  @W13
  Scenario: the claim is bound to the volume
    Then claim "influxdb-claim" is bound to volume "local-volume"
    And `kubectl get pv local-volume` prints a line like "^local-volume +1Gi +RWO +Retain +Bound +lab-influxdb/influxdb-claim"

  @W13 @W11
  Scenario: the sum is still right in the new pod
    Then pod "influxdb" is running and ready
    And the InfluxDB of pod "influxdb" answers "SELECT SUM(count) FROM pod" with 31

Feature: Resizing a pod
  Cpu and memory of a running container change in place, where there is room for it.

  Scenario: a running container gets more, then less, and never stops
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: web}
      spec:
        terminationGracePeriodSeconds: 0
        containers:
        - name: a
          image: busybox:1.35
          command: ["sleep", "3600"]
          resources: {requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 200m, memory: 64Mi}}
      """
    Then pod "web" is running and ready
    And the control group of pod "web" lies in "kubepods/burstable" and holds 67108864 bytes
    Given the containers of pod "web" are noted
    When `kubectl patch pod web --subresource resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"150m"},"limits":{"cpu":"300m","memory":"128Mi"}}}]}}'` succeeds
    Then `kubectl get pod web -o jsonpath='{.status.containerStatuses[0].resources.requests.*} {.status.containerStatuses[0].resources.limits.*} {.status.observedGeneration}'` prints "150m 32Mi 300m 128Mi 2"
    And in pod "web" `cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max` prints "134217728"
    And in pod "web" `cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us || cat /sys/fs/cgroup/cpu.max` prints "30000"
    And the control group of pod "web" lies in "kubepods/burstable" and holds 134217728 bytes
    When `kubectl patch pod web --subresource resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"50m","memory":"16Mi"},"limits":{"cpu":"100m","memory":"32Mi"}}}]}}'` succeeds
    Then in pod "web" `cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max` prints "33554432"
    And in pod "web" `cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us || cat /sys/fs/cgroup/cpu.max` prints "10000"
    And the control group of pod "web" lies in "kubepods/burstable" and holds 33554432 bytes
    And `kubectl get pod web -o jsonpath='{.status.containerStatuses[0].allocatedResources.cpu} in progress: {.status.conditions[?(@.type=="PodResizeInProgress")].status}.'` prints "50m in progress: ."
    And `kubectl get events --field-selector involvedObject.name=web` prints a line like "ResizeStarted .*Pod resize started: "
    And `kubectl get events --field-selector involvedObject.name=web` prints a line like "ResizeCompleted .*Pod resize completed: "
    And pod "web" has the same containers, none of them restarted

  Scenario: a container that cannot change as it runs is restarted
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: heap}
      spec:
        terminationGracePeriodSeconds: 0
        containers:
        - name: a
          image: busybox:1.35
          command: ["sleep", "3600"]
          resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]
          resources: {limits: {cpu: 100m, memory: 32Mi}}
      """
    Then pod "heap" is running and ready
    When `kubectl patch pod heap --subresource resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"200m"},"limits":{"cpu":"200m"}}}]}}'` succeeds
    Then in pod "heap" `cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us || cat /sys/fs/cgroup/cpu.max` prints "20000"
    And pod "heap" has restarted 0 times
    When `kubectl patch pod heap --subresource resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"memory":"64Mi"},"limits":{"memory":"64Mi"}}}]}}'` succeeds
    Then in pod "heap" `cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max` prints "67108864"
    And pod "heap" has restarted 1 times
    And `kubectl get events --field-selector involvedObject.name=heap` prints a line like "Killing .*Container a resize requires restart"

  Scenario: what there is no room for waits, what never fits is refused, and memory in use is not taken
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: first}
        spec:
          nodeName: minion-1
          terminationGracePeriodSeconds: 0
          containers: [{name: a, image: "busybox:1.35", command: ["sleep", "3600"], resources: {requests: {cpu: 100m}}}]
      - apiVersion: v1
        kind: Pod
        metadata: {name: second}
        spec:
          nodeName: minion-1
          terminationGracePeriodSeconds: 0
          containers: [{name: a, image: "busybox:1.35", command: ["sleep", "3600"], resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {memory: 64Mi}}}]
      """
    Then pod "first" is running and ready
    And pod "second" is running and ready
    When `kubectl patch pod first --subresource resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"1000"}}}]}}'` fails with "node didn't have enough allocatable resources: cpu, requested: 1000000, allocatable: "
    And `cpu=$(kubectl get node minion-1 -o jsonpath={.status.allocatable.cpu}); kubectl patch pod first --subresource resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"'$cpu'"}}}]}}'` succeeds
    Then `kubectl get pod first -o jsonpath='{.status.conditions[?(@.type=="PodResizePending")].reason}'` prints "Deferred"
    And `kubectl describe pod first` prints a line like "ResizeDeferred .*Node didn't have enough resource: cpu, requested: "
    And `kubectl get pod first -o jsonpath='{.status.containerStatuses[0].allocatedResources.cpu}'` prints "100m"
    When `kubectl patch pod second --subresource resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"memory":"1Ki"},"limits":{"memory":"1Ki"}}}]}}'` succeeds
    Then `kubectl get pod second -o jsonpath='{.status.conditions[?(@.type=="PodResizeInProgress")].message}'` prints a line like "cannot decrease memory limits: .*memory limit \(1024\) below current usage"
    And in pod "second" `cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max` prints "67108864"
    When `kubectl delete pod second` succeeds
    Then `kubectl get pod first -o jsonpath='pending: {.status.conditions[?(@.type=="PodResizePending")].reason}, restarts: {.status.containerStatuses[0].restartCount}'` prints "pending: , restarts: 0"

  Scenario: a restarted kubelet keeps the allocations of its pods, and resizes pods that were changed meanwhile
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: kept}
        spec:
          nodeName: minion-1
          terminationGracePeriodSeconds: 0
          containers: [{name: a, image: "busybox:1.35", command: ["sleep", "3600"], resources: {requests: {cpu: 100m}, limits: {cpu: 100m}}}]
      - apiVersion: v1
        kind: Pod
        metadata: {name: waiting}
        spec:
          nodeName: minion-1
          terminationGracePeriodSeconds: 0
          containers: [{name: a, image: "busybox:1.35", command: ["sleep", "3600"], resources: {requests: {cpu: 100m}}}]
      """
    Then pod "kept" is running and ready
    And pod "waiting" is running and ready
    Given the containers of pod "kept" are noted
    When `kubectl patch pod kept --subresource resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"200m"},"limits":{"cpu":"200m"}}}]}}'` succeeds
    And `cpu=$(kubectl get node minion-1 -o jsonpath={.status.allocatable.cpu}); kubectl patch pod waiting --subresource resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"'$cpu'"}}}]}}'` succeeds
    Then in pod "kept" `cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us || cat /sys/fs/cgroup/cpu.max` prints "20000"
    And `kubectl get pod waiting -o jsonpath='{.status.conditions[?(@.type=="PodResizePending")].reason}'` prints "Deferred"
    When the node process of "minion-1" is killed
    And `kubectl patch pod kept --subresource resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"300m"},"limits":{"cpu":"300m"}}}]}}'` succeeds
    And the cluster is brought up again
    Then in pod "kept" `cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us || cat /sys/fs/cgroup/cpu.max` prints "30000"
    And `kubectl get pod kept -o jsonpath='{.status.containerStatuses[0].allocatedResources.cpu} {.status.observedGeneration}'` prints "300m 3"
    And pod "kept" has the same containers, none of them restarted
    And `kubectl get pod waiting -o jsonpath='{.status.conditions[?(@.type=="PodResizePending")].reason} {.status.containerStatuses[0].allocatedResources.cpu}'` prints "Deferred 100m"

Feature: What a node gives its pods, and what it takes back
  Limits are enforced, with the reason in status and events; a node under pressure evicts pods, with the reason.

  @W9
  Scenario: limits are in the container's control group, and the classes in those above it
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: guaranteed}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: a
            image: busybox:1.35
            command: ["sleep", "3600"]
            resources: {limits: {cpu: 500m, memory: 128Mi}}
      - apiVersion: v1
        kind: Pod
        metadata: {name: burstable}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: a
            image: busybox:1.35
            command: ["sleep", "3600"]
            resources: {requests: {cpu: 250m, memory: 64Mi}}
      - apiVersion: v1
        kind: Pod
        metadata: {name: besteffort}
        spec:
          terminationGracePeriodSeconds: 0
          containers: [{name: a, image: "busybox:1.35", command: ["sleep", "3600"]}]
      """
    Then pod "guaranteed" is running and ready
    And pod "burstable" is running and ready
    And pod "besteffort" is running and ready
    And `kubectl get pods -o custom-columns=N:.metadata.name,Q:.status.qosClass --no-headers | tr -s ' ' | tr '\n' ';'` prints "besteffort BestEffort;burstable Burstable;guaranteed Guaranteed;"
    And in pod "guaranteed" `cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max` prints "134217728"
    And in pod "guaranteed" `cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us || cat /sys/fs/cgroup/cpu.max` prints "50000"
    And the control group of pod "guaranteed" lies in "kubepods" and holds 134217728 bytes
    And all groups above that of guaranteed pod "guaranteed" weigh as much as the machine's processors
    And the control group of pod "burstable" lies in "kubepods/burstable"
    And the control group of pod "besteffort" lies in "kubepods/besteffort"
    And in pod "besteffort" `cat /proc/1/oom_score_adj` prints "1000"
    When `kubectl delete pods --all` succeeds
    Then no control group of pod "guaranteed" is left

  @W9
  Scenario: who needs more memory than the limit is killed, and the status says so
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: greedy}
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: 0
          containers:
          - name: a
            image: busybox:1.35
            command: ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]
            resources: {limits: {memory: 16Mi}}
      - apiVersion: v1
        kind: Pod
        metadata: {name: loops}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: a
            image: busybox:1.35
            command: ["sh", "-c", "sleep 1; exec dd if=/dev/zero of=/dev/null bs=200M count=1"]
            resources: {limits: {memory: 16Mi}}
      """
    Then pod "greedy" is Failed
    And `kubectl get pod greedy -o jsonpath='{.status.containerStatuses[0].state.terminated.reason} {.status.containerStatuses[0].state.terminated.exitCode}'` prints "OOMKilled 137"
    And `kubectl get pod loops -o jsonpath='{.status.containerStatuses[0].lastState.terminated.reason}'` prints "OOMKilled"
    And `kubectl describe pod loops` prints "OOMKilled"
    When `kubectl delete pods --all` succeeds

  Scenario: who writes more than the limit is evicted
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: full}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: a
            image: busybox:1.35
            command: ["sh", "-c", "dd if=/dev/zero of=/cache/x bs=1M count=20; sleep 3600"]
            volumeMounts: [{name: cache, mountPath: /cache}]
          volumes: [{name: cache, emptyDir: {sizeLimit: 10Mi}}]
      - apiVersion: v1
        kind: Pod
        metadata: {name: layered}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: a
            image: busybox:1.35
            command: ["sh", "-c", "dd if=/dev/zero of=/x bs=1M count=20; sleep 3600"]
            resources: {limits: {ephemeral-storage: 10Mi}}
      """
    Then pod "full" is Failed
    And `kubectl get pod full -o jsonpath='{.status.reason}: {.status.message}'` prints "Evicted: Usage of EmptyDir volume"
    And pod "layered" is Failed
    And `kubectl get pod layered -o jsonpath='{.status.reason}: {.status.message}'` prints "Evicted: Pod ephemeral local storage usage exceeds the total limit of containers 10Mi."
    And `kubectl get events --field-selector involvedObject.name=full` prints a line like "Evicted"
    When `kubectl delete pods --all` succeeds

  Scenario: a node that is short of memory evicts who uses most beyond what it asked for
    Given the minions are started with "--capacity=memory=700Mi --eviction-hard=memory.available<350Mi --eviction-pressure-transition-period=1s"
    And the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: modest}
        spec:
          nodeName: minion-1
          terminationGracePeriodSeconds: 0
          containers:
          - name: a
            image: busybox:1.35
            command: ["sleep", "3600"]
            resources: {requests: {memory: 32Mi}}
      - apiVersion: v1
        kind: Pod
        metadata: {name: hog}
        spec:
          nodeName: minion-1
          terminationGracePeriodSeconds: 0
          containers:
          - name: a
            image: busybox:1.35
            command: ["sh", "-c", "dd if=/dev/zero of=/memory/x bs=1M count=400; sleep 3600"]
            volumeMounts: [{name: memory, mountPath: /memory}]
          volumes: [{name: memory, emptyDir: {medium: Memory}}]
      """
    Then pod "modest" is running and ready
    And pod "hog" is Failed
    And `kubectl get pod hog -o jsonpath='{.status.reason}: {.status.message}'` prints "Evicted: The node was low on resource: memory. Threshold quantity: 350Mi, available: "
    And `kubectl get pod hog -o jsonpath='{.status.message}'` prints "Container a was using "
    And `kubectl get pod hog -o jsonpath='{.status.message}'` prints "request is 0, has larger consumption of memory."
    And `kubectl get pod hog -o jsonpath='{.status.conditions[?(@.type=="DisruptionTarget")].reason}'` prints "TerminationByKubelet"
    And `kubectl get events -A --field-selector reason=EvictionThresholdMet` prints a line like "minion-1.*Attempting to reclaim memory"
    And pod "modest" is running and ready
    And `kubectl get node minion-1 -o jsonpath='{.status.conditions[?(@.type=="MemoryPressure")].status}'` prints "False"
    When `kubectl delete pods --all` succeeds
    Then the minions are started as before

  Scenario: a node that is short of disk is under pressure, and takes no more pods
    Given the minions are started with "--capacity=ephemeral-storage=1Gi --eviction-hard=nodefs.available<900Mi --eviction-pressure-transition-period=45s"
    And the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: writer}
      spec:
        nodeName: minion-1
        terminationGracePeriodSeconds: 0
        containers:
        - name: a
          image: busybox:1.35
          command: ["sh", "-c", "dd if=/dev/zero of=/cache/x bs=1M count=200; sleep 3600"]
          volumeMounts: [{name: cache, mountPath: /cache}]
        volumes: [{name: cache, emptyDir: {}}]
      """
    Then pod "writer" is Failed
    And `kubectl get pod writer -o jsonpath='{.status.message}'` prints "The node was low on resource: ephemeral-storage. Threshold quantity: 900Mi, available: "
    And `kubectl get events -A --field-selector reason=EvictionThresholdMet` prints a line like "minion-1.*Attempting to reclaim ephemeral-storage"
    And `kubectl get node minion-1 -o jsonpath='{.status.conditions[?(@.type=="DiskPressure")].message} {.spec.taints[*].key}'` prints "kubelet has disk pressure node.kubernetes.io/disk-pressure"
    When `kubectl run late --image=busybox:1.35 --restart=Never --overrides='{"spec":{"nodeName":"minion-1"}}' -- sleep 3600` succeeds
    Then pod "late" is Failed
    And `kubectl get pod late -o jsonpath='{.status.reason}: {.status.message}'` prints "Evicted: The node had condition: [DiskPressure]."
    When `kubectl delete pods --all` succeeds
    Then `kubectl get node minion-1 -o jsonpath='{.status.conditions[?(@.type=="DiskPressure")].status}'` prints "False"
    And the minions are started as before

  Scenario: a kubelet that is killed takes over what it finds, with its limits and its figures
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: kept}
      spec:
        nodeName: minion-2
        terminationGracePeriodSeconds: 0
        containers:
        - name: a
          image: busybox:1.35
          command: ["sleep", "3600"]
          resources: {limits: {cpu: 500m, memory: 64Mi}}
      """
    Then pod "kept" is running and ready
    Given the containers of pod "kept" are noted
    When the node process of "minion-2" is killed
    And the cluster is brought up again
    Then pod "kept" is running and ready
    And pod "kept" has the same containers, none of them restarted
    And the control group of pod "kept" lies in "kubepods" and holds 67108864 bytes
    And `kubectl get --raw /api/v1/nodes/minion-2/proxy/metrics/resource | grep kept` prints "container_memory_working_set_bytes"
    And `kubectl get --raw /api/v1/nodes/minion-2/proxy/stats/summary` prints "workingSetBytes"
    And `kubectl get --raw /api/v1/nodes/minion-2/proxy/metrics` prints "kubeproxy_sync_proxy_rules_duration_seconds_count"
    And `kubectl get --raw /api/v1/nodes/minion-2/proxy/metrics` prints "rest_client_requests_total{"
    And `kubectl get --raw /api/v1/nodes/minion-2/proxy/metrics` prints "kubernetes_build_info{"
    When `kubectl delete pods --all` succeeds
    Then no control group of pod "kept" is left

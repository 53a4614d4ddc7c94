Feature: Scheduling
  A pod is scheduled to a node where it fits and is allowed; a pod that is not gets the reason.

  @N5
  Scenario: replicas are spread over the nodes, and what does not fit is explained
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: ReplicationController
        metadata: {name: spread}
        spec:
          replicas: 4
          selector: {app: spread}
          template:
            metadata: {labels: {app: spread}}
            spec:
              terminationGracePeriodSeconds: 1
              containers:
              - {name: a, image: "busybox:1.35", command: ["sleep", "3600"]}
      - apiVersion: v1
        kind: Pod
        metadata: {name: huge}
        spec:
          containers:
          - {name: a, image: "busybox:1.35", resources: {requests: {cpu: 1000, memory: 10Ti}}}
      - apiVersion: v1
        kind: Pod
        metadata: {name: picky}
        spec:
          nodeSelector: {colour: purple}
          containers:
          - {name: a, image: "busybox:1.35"}
      """
    Then 4 pods with label "app=spread" are running and ready
    And `kubectl get pods -l app=spread -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort | uniq -c | tr -s ' \n' ' '` prints "2 minion-1 2 minion-2"
    And `kubectl describe pod huge` prints a line like "Warning +FailedScheduling .*default-scheduler +0/3 nodes are available: 1 node\(s\) were unschedulable, 2 Insufficient cpu, 2 Insufficient memory. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    And `kubectl describe pod picky` prints "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    And `kubectl get pod picky -o jsonpath='{.status.conditions[?(@.type=="PodScheduled")].reason}'` prints "Unschedulable"
    When `kubectl label node minion-2 colour=purple` succeeds
    Then `kubectl get pod picky -o jsonpath={.spec.nodeName}` prints "minion-2"
    And `kubectl label node minion-2 colour-` succeeds

  @N5 @W9
  Scenario: the processors that pods ask for are counted
    When `for i in 1 2 3; do kubectl run big-$i --image=busybox:1.35 --overrides='{"spec":{"terminationGracePeriodSeconds":1,"containers":[{"name":"a","image":"busybox:1.35","command":["sleep","3600"],"resources":{"requests":{"cpu":"'$(( $(kubectl get node minion-1 -o jsonpath={.status.allocatable.cpu}) * 600 ))m'"}}}]}}' && [ $i = 3 ] || kubectl wait --for=condition=PodScheduled --timeout=60s pod/big-$i || exit 1; done` succeeds
    Then `kubectl get pods big-1 big-2 -o jsonpath='{.items[*].spec.nodeName}' | tr ' ' '\n' | sort | tr '\n' ' '` prints "minion-1 minion-2"
    And `kubectl describe pod big-3` prints "2 Insufficient cpu. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
    And pod "big-3" is Pending
    When `kubectl delete pod big-1 --timeout=60s` succeeds
    Then pod "big-3" is Running

  @N5
  Scenario: pods go to others, and away from others
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: first, labels: {app: db}}
      spec:
        nodeName: minion-2
        terminationGracePeriodSeconds: 1
        containers:
        - {name: a, image: "busybox:1.35", command: ["sleep", "3600"]}
      """
    And pod "first" is running and ready
    When the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: beside}
        spec:
          terminationGracePeriodSeconds: 1
          affinity:
            podAffinity:
              requiredDuringSchedulingIgnoredDuringExecution:
              - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: db}}}
          containers:
          - {name: a, image: "busybox:1.35", command: ["sleep", "3600"]}
      - apiVersion: v1
        kind: Pod
        metadata: {name: apart, labels: {app: db}}
        spec:
          terminationGracePeriodSeconds: 1
          affinity:
            podAntiAffinity:
              requiredDuringSchedulingIgnoredDuringExecution:
              - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: db}}}
          containers:
          - {name: a, image: "busybox:1.35", command: ["sleep", "3600"]}
      """
    Then `kubectl get pod beside -o jsonpath={.spec.nodeName}` prints "minion-2"
    And `kubectl get pod apart -o jsonpath={.spec.nodeName}` prints "minion-1"
    When the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: no-place, labels: {app: db}}
        spec:
          affinity:
            podAntiAffinity:
              requiredDuringSchedulingIgnoredDuringExecution:
              - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: db}}}
          containers:
          - {name: a, image: "busybox:1.35"}
      - apiVersion: v1
        kind: Pod
        metadata: {name: no-friend}
        spec:
          affinity:
            podAffinity:
              requiredDuringSchedulingIgnoredDuringExecution:
              - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: nobody}}}
          containers:
          - {name: a, image: "busybox:1.35"}
      """
    Then `kubectl describe pod no-place` prints a line like "FailedScheduling .* 0/3 nodes are available: .*2 node\(s\) didn't match pod anti-affinity rules"
    And `kubectl describe pod no-friend` prints a line like "FailedScheduling .* 0/3 nodes are available: .*2 node\(s\) didn't match pod affinity rules"

  @N5
  Scenario: a topology is filled evenly
    Given the objects:
      """
      apiVersion: v1
      kind: ReplicationController
      metadata: {name: even}
      spec:
        replicas: 4
        selector: {app: even}
        template:
          metadata: {labels: {app: even}}
          spec:
            terminationGracePeriodSeconds: 1
            topologySpreadConstraints:
            - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, nodeTaintsPolicy: Honor, labelSelector: {matchLabels: {app: even}}}
            containers:
            - {name: a, image: "busybox:1.35", command: ["sleep", "3600"]}
      """
    Then 4 pods with label "app=even" are running and ready
    And `kubectl get pods -l app=even -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort | uniq -c | tr -s ' \n' ' '` prints "2 minion-1 2 minion-2"

  @N5
  Scenario: a port of the node is had by one pod
    Given the objects:
      """
      apiVersion: v1
      kind: ReplicationController
      metadata: {name: ports}
      spec:
        replicas: 3
        selector: {app: ports}
        template:
          metadata: {labels: {app: ports}}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - {name: a, image: "busybox:1.35", command: ["sleep", "3600"], ports: [{containerPort: 80, hostPort: 8199}]}
      """
    Then `kubectl get pods -l app=ports --field-selector=spec.nodeName!= -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort | tr '\n' ' '` prints "minion-1 minion-2 "
    And `kubectl get events -o custom-columns=M:.message --field-selector reason=FailedScheduling` prints "2 node(s) didn't have free ports for the requested pod ports. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."

  @M5
  Scenario: who does not tolerate a taint leaves the node, who tolerates it for a while leaves later
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: stays}
        spec:
          nodeName: minion-2
          terminationGracePeriodSeconds: 1
          tolerations: [{key: broken, operator: Exists}]
          containers:
          - {name: a, image: "busybox:1.35", command: ["sleep", "3600"]}
      - apiVersion: v1
        kind: Pod
        metadata: {name: leaves}
        spec:
          nodeName: minion-2
          terminationGracePeriodSeconds: 1
          containers:
          - {name: a, image: "busybox:1.35", command: ["sleep", "3600"]}
      - apiVersion: v1
        kind: Pod
        metadata: {name: leaves-later}
        spec:
          nodeName: minion-2
          terminationGracePeriodSeconds: 1
          tolerations: [{key: broken, operator: Exists, effect: NoExecute, tolerationSeconds: 30}]
          containers:
          - {name: a, image: "busybox:1.35", command: ["sleep", "3600"]}
      """
    And pod "stays" is running and ready
    And pod "leaves" is running and ready
    And pod "leaves-later" is running and ready
    When `kubectl taint node minion-2 broken=disk:NoExecute` succeeds
    Then pod "leaves" is gone
    And `kubectl get pod leaves-later` prints "Running"
    And `kubectl get events --field-selector involvedObject.name=leaves` prints a line like "TaintManagerEviction +pod/leaves +Marking for deletion Pod f[0-9]+/leaves"
    And pod "leaves-later" is gone
    And pod "stays" is running and ready
    And `kubectl taint node minion-2 broken:NoExecute-` succeeds

  @N5
  Scenario: a high-priority pod preempts, one that never preempts waits
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: scheduling.k8s.io/v1
        kind: PriorityClass
        metadata: {name: important}
        value: 1000
      - apiVersion: scheduling.k8s.io/v1
        kind: PriorityClass
        metadata: {name: polite}
        value: 1000
        preemptionPolicy: Never
      - apiVersion: v1
        kind: Pod
        metadata: {name: low}
        spec:
          terminationGracePeriodSeconds: 12
          nodeSelector: {kubernetes.io/hostname: minion-1}
          containers:
          - {name: a, image: "busybox:1.35", command: ["sleep", "3600"], ports: [{containerPort: 80, hostPort: 8198}]}
      """
    And pod "low" is running and ready
    When the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: waits}
      spec:
        terminationGracePeriodSeconds: 1
        priorityClassName: polite
        nodeSelector: {kubernetes.io/hostname: minion-1}
        containers:
        - {name: a, image: "busybox:1.35", command: ["sleep", "3600"], ports: [{containerPort: 80, hostPort: 8198}]}
      """
    Then `kubectl describe pod waits` prints "preemption: not eligible due to preemptionPolicy=Never."
    And pod "low" is running and ready
    When the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: high}
      spec:
        terminationGracePeriodSeconds: 1
        priorityClassName: important
        nodeSelector: {kubernetes.io/hostname: minion-1}
        containers:
        - {name: a, image: "busybox:1.35", command: ["sleep", "3600"], ports: [{containerPort: 80, hostPort: 8198}]}
      """
    Then `kubectl get pod low -o jsonpath='{.status.conditions[?(@.type=="DisruptionTarget")].reason}'` prints "PreemptionByScheduler"
    And `kubectl get pod high -o wide` prints a line like "^high +0/1 +Pending .* minion-1 "
    And pod "low" is gone
    And pod "high" is running and ready
    And `kubectl get events --field-selector involvedObject.name=low` prints a line like "Normal +Preempted +pod/low +Preempted by pod [0-9a-f-]{36} on node minion-1"
    And `kubectl delete priorityclass important polite` succeeds

  @N5
  Scenario: room is made where no disruption budget is broken
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: scheduling.k8s.io/v1
        kind: PriorityClass
        metadata: {name: urgent}
        value: 1000
      - apiVersion: policy/v1
        kind: PodDisruptionBudget
        metadata: {name: guarded}
        spec:
          minAvailable: 1
          selector: {matchLabels: {app: guarded}}
      - apiVersion: v1
        kind: Pod
        metadata: {name: guarded, labels: {app: guarded}}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - {name: a, image: "busybox:1.35", command: ["sleep", "3600"], ports: [{containerPort: 80, hostPort: 8197}]}
      - apiVersion: v1
        kind: Pod
        metadata: {name: free}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - {name: a, image: "busybox:1.35", command: ["sleep", "3600"], ports: [{containerPort: 80, hostPort: 8197}]}
      """
    And pod "guarded" is running and ready
    And pod "free" is running and ready
    And `kubectl get pdb guarded` prints a line like "^guarded +1 +N/A +0 "
    When the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: urgent}
      spec:
        terminationGracePeriodSeconds: 1
        priorityClassName: urgent
        containers:
        - {name: a, image: "busybox:1.35", command: ["sleep", "3600"], ports: [{containerPort: 80, hostPort: 8197}]}
      """
    Then pod "free" is gone
    And pod "urgent" is running and ready
    And pod "guarded" is running and ready
    And `kubectl delete priorityclass urgent` succeeds

  @W12 @W13
  Scenario: a claim gets a directory on the node of its pod, keeps the data, and takes it along
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: PersistentVolumeClaim
        metadata: {name: data}
        spec:
          accessModes: [ReadWriteOnce]
          resources: {requests: {storage: 1Gi}}
      - apiVersion: v1
        kind: PersistentVolumeClaim
        metadata: {name: by-hand}
        spec:
          storageClassName: ""
          accessModes: [ReadWriteOnce]
          resources: {requests: {storage: 1Gi}}
      """
    Then `kubectl get storageclass` prints a line like "^standard \(default\) +wheelhouse.dev/host-path +Delete +WaitForFirstConsumer +true "
    And `kubectl describe pvc data` prints "waiting for first consumer to be created before binding"
    And `kubectl describe pvc by-hand` prints "no persistent volumes available for this claim and no storage class is set"
    When the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: writer}
      spec:
        terminationGracePeriodSeconds: 1
        securityContext: {runAsUser: 1000}
        containers:
        - name: a
          image: busybox:1.35
          command: ["sh", "-c", "echo precious > /data/file; exec sleep 3600"]
          volumeMounts: [{name: data, mountPath: /data}]
        volumes:
        - name: data
          persistentVolumeClaim: {claimName: data}
      """
    Then pod "writer" is running and ready
    And `kubectl get pvc data` prints a line like "^data +Bound +pvc-[0-9a-f-]+ +1Gi +RWO +standard "
    And `kubectl describe pvc data` prints "ProvisioningSucceeded"
    When `kubectl get pod writer -o jsonpath={.spec.nodeName} > node && kubectl get pvc data -o jsonpath={.spec.volumeName} > volume && kubectl delete pod writer --timeout=60s` succeeds
    And the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: reader}
      spec:
        terminationGracePeriodSeconds: 1
        containers:
        - name: a
          image: busybox:1.35
          command: ["sleep", "3600"]
          volumeMounts: [{name: data, mountPath: /data}]
        volumes:
        - name: data
          persistentVolumeClaim: {claimName: data}
      """
    Then pod "reader" is running and ready
    And in pod "reader" `cat /data/file` prints "precious"
    And `[ "$(kubectl get pod reader -o jsonpath={.spec.nodeName})" = "$(cat node)" ] && echo same` prints "same"
    And `cat /var/lib/wheelhouse/$WHEELHOUSE_CLUSTER/nodes/$(cat node)/disk/srv/volumes/$(cat volume)/file` prints "precious"
    When `kubectl delete pod reader --timeout=60s && kubectl delete pvc data --timeout=60s` succeeds
    Then `kubectl get pv $(cat volume)` fails with "not found"
    And `ls /var/lib/wheelhouse/$WHEELHOUSE_CLUSTER/nodes/$(cat node)/disk/srv/volumes/` prints nothing

  @P3
  Scenario: a second scheduler, and none at all
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: by-hand}
        spec:
          schedulerName: nobody
          terminationGracePeriodSeconds: 1
          containers:
          - {name: a, image: "busybox:1.35", command: ["sleep", "3600"]}
      - apiVersion: v1
        kind: Pod
        metadata: {name: by-second}
        spec:
          schedulerName: second
          terminationGracePeriodSeconds: 1
          containers:
          - {name: a, image: "busybox:1.35", command: ["sleep", "3600"]}
      - apiVersion: v1
        kind: Pod
        metadata: {name: by-default}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - {name: a, image: "busybox:1.35", command: ["sleep", "3600"]}
      """
    Then pod "by-default" is running and ready
    And pod "by-hand" is Pending
    And pod "by-second" is Pending
    When `echo '{"apiVersion":"v1","kind":"Binding","metadata":{"name":"by-hand"},"target":{"apiVersion":"v1","kind":"Node","name":"minion-2"}}' | kubectl create --raw /api/v1/namespaces/$NAMESPACE/pods/by-hand/binding -f -` succeeds
    Then pod "by-hand" is running and ready
    And `kubectl get pod by-hand -o jsonpath={.spec.nodeName}` prints "minion-2"
    And pod "by-second" is Pending
    When a scheduler named "second" is started
    Then pod "by-second" is running and ready
    And `kubectl describe pod by-second` prints a line like "Normal +Scheduled +.* second +Successfully assigned f[0-9]+/by-second to minion-[12]"

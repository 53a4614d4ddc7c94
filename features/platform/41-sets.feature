Feature: Daemon sets and stateful sets
  Pods that are not interchangeable: one for each node, or one for each number.

  @M7
  Scenario: a daemon runs on each node, also on one that is closed and on one that joins
    Given the objects:
      """
      apiVersion: apps/v1
      kind: DaemonSet
      metadata:
        name: agent
      spec:
        selector:
          matchLabels: {app: agent}
        template:
          metadata:
            labels: {app: agent}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - name: agent
              image: busybox:1.35
              command: ["sleep", "3600"]
      """
    Then `kubectl rollout status ds/agent --timeout=150s` prints "successfully rolled out"
    And `kubectl get ds agent` prints a line like "^agent +3 +3 +3 +3 +3 +<none> "
    And the pods with label "app=agent" run on 3 nodes
    And `kubectl describe ds agent` prints "SuccessfulCreate"
    When `kubectl cordon minion-2` succeeds
    And `kubectl delete pod -l app=agent --field-selector=spec.nodeName=minion-2` succeeds
    Then `kubectl get ds agent` prints a line like "^agent +3 +3 +3 +3 +3 +<none> "
    And the pods with label "app=agent" run on 3 nodes
    When `kubectl uncordon minion-2` succeeds
    And a third minion joins
    Then `kubectl get ds agent` prints a line like "^agent +4 +4 +4 +4 +4 +<none> "
    And the pods with label "app=agent" run on 4 nodes
    When the third minion leaves
    Then `kubectl get ds agent` prints a line like "^agent +3 +3 +3 +3 +3 +<none> "

  @M7
  Scenario: a daemon's new template rolls over the nodes, and back
    Given the objects:
      """
      apiVersion: apps/v1
      kind: DaemonSet
      metadata:
        name: agent
      spec:
        selector:
          matchLabels: {app: agent}
        updateStrategy:
          rollingUpdate: {maxUnavailable: 50%}
        template:
          metadata:
            labels: {app: agent}
          spec:
            terminationGracePeriodSeconds: 1
            nodeSelector: {wanted: "yes"}
            containers:
            - name: agent
              image: busybox:1.35
              env: [{name: VERSION, value: one}]
              command: ["sleep", "3600"]
      """
    Then `kubectl get ds agent` prints a line like "^agent +0 +0 +0 +0 +0 +wanted=yes "
    When `kubectl label node minion-1 minion-2 wanted=yes` succeeds
    Then 2 pods with label "app=agent" are running and ready
    When `kubectl set env ds/agent VERSION=two` succeeds
    Then `kubectl rollout status ds/agent --timeout=150s` prints "successfully rolled out"
    And `kubectl exec ds/agent -- sh -c 'echo $VERSION'` prints "two"
    And `kubectl rollout history ds/agent` prints a line like "^2 +<none>"
    And `kubectl rollout history ds/agent --revision=1` prints "one"
    When `kubectl rollout undo ds/agent` succeeds
    Then `kubectl rollout status ds/agent --timeout=150s` prints "successfully rolled out"
    And `kubectl exec ds/agent -- sh -c 'echo $VERSION'` prints "one"
    And `kubectl rollout history ds/agent` prints a line like "^3 +<none>"
    When `kubectl label node minion-1 minion-2 wanted-` succeeds
    Then no pod with label "app=agent" is left

  @M7
  Scenario: a stateful set's pods keep name, address by name, and data
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Service
        metadata:
          name: db
        spec:
          clusterIP: None
          selector: {app: db}
          ports:
          - {port: 80}
      - apiVersion: v1
        kind: Pod
        metadata:
          name: client
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - name: client
            image: busybox:1.35
            command: ["sleep", "3600"]
      - apiVersion: apps/v1
        kind: StatefulSet
        metadata:
          name: db
        spec:
          serviceName: db
          replicas: 3
          selector:
            matchLabels: {app: db}
          template:
            metadata:
              labels: {app: db}
            spec:
              terminationGracePeriodSeconds: 1
              containers:
              - name: web
                image: nginx
                readinessProbe:
                  tcpSocket: {port: 80}
                  periodSeconds: 1
                volumeMounts:
                - {name: data, mountPath: /usr/share/nginx/html}
          volumeClaimTemplates:
          - metadata:
              name: data
            spec:
              accessModes: [ReadWriteOnce]
              resources:
                requests: {storage: 10Mi}
      """
    Then `kubectl rollout status sts/db --timeout=90s` prints "partitioned roll out complete"
    And `kubectl get sts db` prints a line like "^db +3/3 "
    And `kubectl get pods -l app=db -o name` prints:
      """
      pod/db-0
      pod/db-1
      pod/db-2
      """
    And `kubectl get pvc -o name` prints "persistentvolumeclaim/data-db-2"
    And `kubectl exec db-1 -- cat /etc/hostname` prints "db-1"
    And `kubectl describe sts db` prints "create Pod db-2 in StatefulSet db successful"
    When `kubectl exec db-1 -- sh -c 'echo kept-by-db-1 > /usr/share/nginx/html/data'` succeeds
    Then in pod "client" `wget -q -O - http://db-1.db/data` prints "kept-by-db-1"
    And `kubectl exec client -- wget -q -O - http://db-1.db.$NAMESPACE.svc.cluster.local/data` prints "kept-by-db-1"
    And `kubectl exec db-1 -- cat /etc/hosts` prints "db-1.db."
    When `kubectl delete pod db-1` succeeds
    Then pod "db-1" is running and ready
    And in pod "client" `wget -q -O - http://db-1.db/data` prints "kept-by-db-1"
    When `kubectl scale sts db --replicas=1` succeeds
    Then pod "db-1" is gone
    And pod "db-2" is gone
    And `kubectl get pvc data-db-1` prints "Bound"
    When `kubectl scale sts db --replicas=2` succeeds
    Then pod "db-1" is running and ready
    And in pod "client" `wget -q -O - http://db-1.db/data` prints "kept-by-db-1"

  @M7
  Scenario: a stateful set is updated from its last pod down to a partition, and rolled back
    Given the objects:
      """
      apiVersion: apps/v1
      kind: StatefulSet
      metadata:
        name: pet
      spec:
        serviceName: pet
        replicas: 3
        podManagementPolicy: Parallel
        selector:
          matchLabels: {app: pet}
        updateStrategy:
          rollingUpdate: {partition: 2}
        template:
          metadata:
            labels: {app: pet}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - name: pet
              image: busybox:1.35
              env: [{name: VERSION, value: one}]
              command: ["sleep", "3600"]
      """
    Then 3 pods with label "app=pet" are running and ready
    When `kubectl set env sts/pet VERSION=two` succeeds
    Then in pod "pet-2" `echo $VERSION` prints "two"
    And in pod "pet-1" `echo $VERSION` prints "one"
    When `kubectl patch sts pet -p '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}'` succeeds
    Then `kubectl rollout status sts/pet --timeout=150s` prints "complete"
    And in pod "pet-0" `echo $VERSION` prints "two"
    When `kubectl rollout undo sts/pet` succeeds
    Then `kubectl rollout status sts/pet --timeout=150s` prints "complete"
    And in pod "pet-0" `echo $VERSION` prints "one"
    And `kubectl rollout history sts/pet` prints a line like "^3 +<none>"

Feature: Limits
  What a namespace may hold, what its pods use, and how many of them there are for it.

  @W17 @N6
  Scenario: a quota is reached
    Given the objects:
      """
      apiVersion: v1
      kind: ResourceQuota
      metadata:
        name: quota
      spec:
        hard:
          pods: 2
          services: 1
          replicationcontrollers: 1
      """
    Then `kubectl describe quota quota` prints a line like "^pods +0 +2"
    Given the objects:
      """
      apiVersion: v1
      kind: ReplicationController
      metadata:
        name: inspector
      spec:
        replicas: 3
        selector: {app: inspector}
        template:
          metadata:
            labels: {app: inspector}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - {name: inspector, image: "b.gcr.io/kuar/inspector:1.0.0"}
      """
    Then 2 pods with label "app=inspector" are running and ready
    And `kubectl describe quota quota` prints a line like "^pods +2 +2"
    And `kubectl describe quota quota` prints a line like "^replicationcontrollers +1 +1"
    And `kubectl describe namespace $NAMESPACE` prints a line like "^  +pods +2 +2"
    And `kubectl describe rc inspector` prints a line like "Warning +FailedCreate .*exceeded quota: quota, requested: pods=1, used: pods=2, limited: pods=2"
    And `kubectl run third --image=nginx` fails with "exceeded quota: quota, requested: pods=1, used: pods=2, limited: pods=2"
    And `kubectl create service clusterip one --tcp=80` succeeds
    And `kubectl create service clusterip two --tcp=80` fails with "exceeded quota: quota, requested: services=1, used: services=1, limited: services=1"
    When `kubectl scale rc inspector --replicas=1` succeeds
    Then `kubectl describe quota quota` prints a line like "^pods +1 +2"
    And `kubectl run third --image=nginx` succeeds
    And `kubectl get quota quota` prints a line like "pods: 2/2, replicationcontrollers: 1/1, services: 1/1"

  @W17 @W9
  Scenario: a quota on processor and memory, and limits for those who say nothing
    Given the objects:
      """
      apiVersion: v1
      kind: ResourceQuota
      metadata:
        name: quota
      spec:
        hard:
          cpu: 1
          memory: 1Gi
      """
    Then `kubectl describe quota quota` prints a line like "^memory +0 +1Gi"
    And `kubectl run bare --image=nginx` fails with "failed quota: quota: must specify cpu for: bare; memory for: bare"
    Given the objects:
      """
      apiVersion: v1
      kind: LimitRange
      metadata:
        name: limits
      spec:
        limits:
        - type: Container
          default: {cpu: 400m, memory: 256Mi}
          defaultRequest: {cpu: 300m, memory: 128Mi}
          max: {cpu: 800m, memory: 512Mi}
      """
    Then `kubectl run bare --image=nginx` succeeds
    And pod "bare" is running and ready
    And `kubectl get pod bare -o jsonpath={.spec.containers[0].resources.limits.memory}/{.status.qosClass}` prints "256Mi/Burstable"
    And `kubectl describe limits limits` prints a line like "^Container +cpu +- +800m +300m +400m +-"
    And `kubectl describe quota quota` prints a line like "^cpu +300m +1"
    When `kubectl run big --image=nginx --overrides='{"spec":{"containers":[{"name":"big","image":"nginx","resources":{"limits":{"cpu":"2","memory":"1Gi"}}}]}}'` fails with "[maximum cpu usage per Container is 800m, but limit is 2, maximum memory usage per Container is 512Mi, but limit is 1Gi]"
    Then `kubectl run more --image=nginx --overrides='{"spec":{"containers":[{"name":"more","image":"nginx","resources":{"requests":{"cpu":"800m","memory":"1Mi"},"limits":{"cpu":"800m"}}}]}}'` fails with "exceeded quota: quota, requested: cpu=800m, used: cpu=300m, limited: cpu=1"

  # A limit of a processor's share is reached only where others leave that share.
  @M7 @alone
  Scenario: what pods and nodes use
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: busy
        labels: {app: busy}
      spec:
        terminationGracePeriodSeconds: 1
        containers:
        - name: loop
          image: busybox:1.35
          command: ["sh", "-c", "while :; do :; done"]
          resources:
            limits: {cpu: 200m, memory: 64Mi}
        - name: idle
          image: busybox:1.35
          command: ["sleep", "3600"]
      """
    Then pod "busy" is running and ready
    And `kubectl top pod busy --containers` prints a line like "^busy +loop +(1[5-9]|2[0-4])\dm +[0-9]+Mi"
    And `kubectl top pod busy --containers` prints a line like "^busy +idle +\dm +[0-9]+Mi"
    And `kubectl top pod -l app=busy` prints a line like "^busy +(1[5-9]|2[0-4])\dm +[0-9]+Mi"
    And `kubectl top pod -A --sort-by=cpu` prints a line like " busy +(1[5-9]|2[0-4])\dm "
    And `kubectl top node` prints a line like "^minion-1 +\d+m +\d+% +\d+Mi +\d+%"
    And `kubectl get podmetrics.metrics.k8s.io busy` prints the columns "NAME CPU MEMORY WINDOW"
    And `kubectl api-versions` prints "metrics.k8s.io/v1beta1"

  @M7 @long
  Scenario: a deployment grows under load and shrinks when it is over
    Given the objects:
      """
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: web
      spec:
        selector:
          matchLabels: {app: web}
        template:
          metadata:
            labels: {app: web}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - name: web
              image: busybox:1.35
              command:
              - sh
              - -c
              - |
                mkdir -p /www/cgi-bin
                printf '#!/bin/sh\ni=0; while [ $i -lt 5000 ]; do i=$((i+1)); done\nprintf "Content-Type: text/plain\\n\\ndone\\n"\n' > /www/cgi-bin/work
                chmod +x /www/cgi-bin/work
                exec httpd -f -p 80 -h /www
              readinessProbe:
                httpGet: {port: 80, path: /cgi-bin/work}
                periodSeconds: 5
                timeoutSeconds: 5
              resources:
                requests: {cpu: 50m}
                limits: {cpu: 100m}
      ---
      apiVersion: v1
      kind: Service
      metadata:
        name: web
      spec:
        selector: {app: web}
        ports:
        - port: 80
      """
    Then 1 pod with label "app=web" is running and ready
    And port 80 of service "web" answers "/cgi-bin/work" with "done"
    When `kubectl autoscale deployment web --cpu-percent=100 --min=1 --max=2` succeeds
    And `kubectl patch hpa web -p '{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":0}}}}'` succeeds
    Then `kubectl get hpa web` prints a line like "^web +Deployment/web +cpu: \d+%/100% +1 +2 +1 "
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: load
      spec:
        terminationGracePeriodSeconds: 1
        containers:
        - name: load
          image: busybox:1.35
          command: ["sh", "-c", "while :; do wget -q -O - http://web/cgi-bin/work || sleep 1; done"]
      """
    Then 2 pods with label "app=web" are running and ready
    And `kubectl describe hpa web` prints a line like "SuccessfulRescale .*New size: 2; reason: cpu resource utilization .percentage of request. above target"
    And `kubectl describe hpa web` prints a line like "ScalingActive +True +ValidMetricFound"
    When `kubectl delete pod load` succeeds
    Then 1 pod with label "app=web" is running and ready
    And `kubectl describe hpa web` prints a line like "SuccessfulRescale .*New size: 1; reason: All metrics below target"

  @T1 @M5
  Scenario: a drain keeps a disruption budget
    Given the objects:
      """
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: kept
      spec:
        replicas: 2
        selector:
          matchLabels: {app: kept}
        template:
          metadata:
            labels: {app: kept}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - {name: c, image: busybox:1.35, command: ["sleep", "3600"]}
      ---
      apiVersion: policy/v1
      kind: PodDisruptionBudget
      metadata:
        name: kept
      spec:
        minAvailable: 2
        selector:
          matchLabels: {app: kept}
      """
    Then 2 pods with label "app=kept" are running and ready
    And `kubectl get pdb kept` prints a line like "^kept +2 +N/A +0 "
    And `kubectl drain minion-1 minion-2 --pod-selector=app=kept --timeout=3s` fails with "Cannot evict pod as it would violate the pod's disruption budget."
    And `kubectl uncordon minion-1 minion-2` succeeds
    And 2 pods with label "app=kept" are running and ready

Feature: Versions of the API that have had their time
  Manifests of 2015 to 2021 apply unchanged, with the defaults of that time, and kubectl warns with today's version.

  Scenario: a Deployment of 2016 is the same under both names, and the server rolls it back
    Given the objects:
      """
      apiVersion: extensions/v1beta1
      kind: Deployment
      metadata:
        name: then
      spec:
        replicas: 2
        template:
          metadata:
            labels:
              run: then
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - name: then
              image: busybox:1.35
              command: ["sleep", "3600"]
      """
    Then 2 pods with label "run=then" are running and ready
    And `kubectl get deployments.v1beta1.extensions then 2>&1` prints "Warning: extensions/v1beta1 Deployment is deprecated in v1.8+, unavailable in v1.16+; use apps/v1 Deployment"
    And `kubectl get deployments.v1beta1.extensions then 2>/dev/null` prints a line like "^then +2/2 +2 +2 "
    And `kubectl get deployment then -o jsonpath='{.apiVersion} {.spec.strategy.rollingUpdate.maxSurge} {.spec.selector.matchLabels.run} {.spec.revisionHistoryLimit}'` prints "apps/v1 1 then 2147483647"
    When `kubectl set env deployments.v1beta1.extensions/then COLOUR=blue 2>/dev/null` succeeds
    Then `kubectl rollout status deployment/then --timeout=150s` prints "successfully rolled out"
    When `echo '{"kind":"DeploymentRollback","apiVersion":"extensions/v1beta1","name":"then","rollbackTo":{"revision":1}}' | kubectl create --raw /apis/extensions/v1beta1/namespaces/$(kubectl config view --minify -o jsonpath={..namespace})/deployments/then/rollback -f - 2>/dev/null` succeeds
    Then `kubectl describe deployment then` prints "DeploymentRollback"
    And `kubectl rollout status deployment/then --timeout=150s` prints "successfully rolled out"
    And `kubectl get deployment then -o jsonpath='{.spec.template.spec.containers[0].env}'` prints nothing
    When `kubectl delete deployments.v1beta1.extensions then 2>/dev/null` succeeds
    Then no pod with label "run=then" is left

  Scenario: the other kinds of that time work with the controllers of today
    Given the objects:
      """
      apiVersion: extensions/v1beta1
      kind: DaemonSet
      metadata:
        name: agent
      spec:
        template:
          metadata:
            labels: {run: agent}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - name: agent
              image: busybox:1.35
              command: ["sleep", "3600"]
      ---
      apiVersion: apps/v1beta1
      kind: StatefulSet
      metadata:
        name: pet
      spec:
        serviceName: pet
        template:
          metadata:
            labels: {run: pet}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - name: pet
              image: busybox:1.35
              command: ["sleep", "3600"]
      ---
      apiVersion: batch/v1beta1
      kind: CronJob
      metadata:
        name: tick
      spec:
        schedule: "@yearly"
        jobTemplate:
          spec:
            template:
              spec:
                restartPolicy: Never
                containers:
                - name: tick
                  image: busybox:1.35
                  command: ["date"]
      ---
      apiVersion: policy/v1beta1
      kind: PodDisruptionBudget
      metadata:
        name: pet
      spec:
        minAvailable: 1
        selector:
          matchLabels: {run: pet}
      ---
      apiVersion: extensions/v1beta1
      kind: Ingress
      metadata:
        name: front
      spec:
        backend: {serviceName: web, servicePort: 80}
      """
    Then the pods with label "run=agent" run on 3 nodes
    And pod "pet-0" is running and ready
    And `kubectl get ds,sts -o custom-columns=N:.metadata.name,U:.spec.updateStrategy.type` prints a line like "^agent +OnDelete$"
    And `kubectl get ds,sts -o custom-columns=N:.metadata.name,U:.spec.updateStrategy.type` prints a line like "^pet +OnDelete$"
    And `kubectl wait --for=jsonpath={.status.currentHealthy}=1 pdb/pet --timeout=60s` prints "condition met"
    And `kubectl create job now --from=cronjob/tick` succeeds
    And `kubectl wait --for=condition=Complete job/now --timeout=60s` prints "condition met"
    And `kubectl get ingress front -o jsonpath={.apiVersion}={.spec.defaultBackend.service.port.number}` prints "networking.k8s.io/v1=80"
    And `kubectl get events` prints "create Pod pet-0 in StatefulSet pet successful"

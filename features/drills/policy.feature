Feature: A policy that blocks

  @N6
  Scenario: the deployment has no pod
    Then `kubectl describe replicaset -l app=api` prints "violates PodSecurity"
    And no pod with label "app=api" is left

  @N6
  Scenario: the pod runs, within the policy
    Then 1 pod with label "app=api" is running and ready
    And `kubectl exec deployment/api -- id -u` prints "1000"
    And `kubectl get namespace $NAMESPACE -o jsonpath={.metadata.labels}` prints "restricted"

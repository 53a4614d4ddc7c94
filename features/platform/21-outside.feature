@alone
Feature: What is outside of a cluster
  Pods of a cluster on one machine reach what the machine reaches, under its address; those of an isolated one do not.

  Scenario: pods reach what the machine reaches, until the cluster is isolated
    Given a machine outside of the cluster that this one reaches
    And the cluster is not isolated any more
    And the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: client
      spec:
        terminationGracePeriodSeconds: 1
        containers:
        - name: shell
          image: busybox:1.35
          command: ["sleep", "3600"]
      """
    And pod "client" is running and ready
    Then `kubectl exec client -- wget -T 5 -qO- http://203.0.113.2/` prints "outside to 203.0.113.1"
    When the cluster is isolated
    Then `kubectl exec client -- wget -T 2 -qO- http://203.0.113.2/ || echo no way` prints "no way"
    And `kubectl exec client -- nslookup kubernetes.default.svc.cluster.local` prints "Address"
    When the cluster is not isolated any more
    Then `kubectl exec client -- wget -T 5 -qO- http://203.0.113.2/` prints "outside to 203.0.113.1"

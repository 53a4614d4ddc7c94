Feature: Network policies
  A policy says who may connect to pods and where they may connect to. Each node enforces that for its own pods, whoever asks and from where.

  Background:
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: ReplicationController
        metadata:
          name: web
        spec:
          replicas: 3
          selector: {app: web}
          template:
            metadata:
              labels: {app: web}
            spec:
              terminationGracePeriodSeconds: 1
              containers:
              - name: inspector
                image: b.gcr.io/kuar/inspector:1.0.0
                ports: [{name: http, containerPort: 80}]
                readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1, timeoutSeconds: 10}
      - apiVersion: v1
        kind: Service
        metadata:
          name: web
        spec:
          selector: {app: web}
          ports:
          - {name: http, port: 8000, targetPort: http}
      - apiVersion: v1
        kind: Pod
        metadata:
          name: friend
          labels: {role: friend}
        spec:
          terminationGracePeriodSeconds: 1
          containers: [{name: shell, image: "busybox:1.35", command: ["sleep", "3600"]}]
      - apiVersion: v1
        kind: Pod
        metadata:
          name: stranger
        spec:
          terminationGracePeriodSeconds: 1
          containers: [{name: shell, image: "busybox:1.35", command: ["sleep", "3600"]}]
      """
    And 3 pods with label "app=web" are running and ready
    And pod "friend" is running and ready
    And pod "stranger" is running and ready

  Scenario: only those that a policy names reach the pods, on every node and through the service
    Then `kubectl exec stranger -- timeout 5 wget -q -O - http://web:8000/` prints "Inspector 1.0.0"
    Given the objects:
      """
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata:
        name: deny
      spec:
        podSelector: {}
        policyTypes: [Ingress]
      """
    Then `kubectl exec stranger -- timeout 2 wget -q -O - http://web:8000/ || echo blocked` prints "blocked"
    And `kubectl why service/web` prints "NetworkPolicy deny selects the pods"
    Given the objects:
      """
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata:
        name: web
      spec:
        podSelector: {matchLabels: {app: web}}
        ingress:
        - from: [{podSelector: {matchLabels: {role: friend}}}]
          ports: [{port: http}]
      """
    Then `for i in 1 2 3 4 5 6; do kubectl exec friend -- timeout 5 wget -q -O /dev/null http://web:8000/ || exit 1; done; echo all` prints "all"
    And `for ip in $(kubectl get pod -l app=web -o jsonpath={.items[*].status.podIP}); do kubectl exec stranger -- timeout 1 wget -q -O - http://$ip/ && exit 1; done; echo none` prints "none"
    And `kubectl describe networkpolicy web` prints "PodSelector: role=friend"
    And 3 pods with label "app=web" are running and ready
    When `kubectl label pod stranger role=friend` succeeds
    Then `kubectl exec stranger -- timeout 5 wget -q -O - http://web:8000/` prints "Inspector 1.0.0"
    When `kubectl label pod stranger role-` succeeds
    And the node process of "minion-1" is killed
    And the cluster is brought up again
    Then `for ip in $(kubectl get pod -l app=web -o jsonpath={.items[*].status.podIP}); do kubectl exec stranger -- timeout 1 wget -q -O - http://$ip/ && exit 1; done; echo none` prints "none"
    When `kubectl delete networkpolicy deny web` succeeds
    Then `kubectl exec stranger -- timeout 5 wget -q -O - http://web:8000/` prints "Inspector 1.0.0"

  Scenario: a pod that may send to DNS alone resolves names, and connects to nothing
    Given the objects:
      """
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata:
        name: dns
      spec:
        podSelector: {matchLabels: {role: friend}}
        policyTypes: [Egress]
        egress:
        - to:
          - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
            podSelector: {matchLabels: {k8s-app: kube-dns}}
          ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
      """
    Then `kubectl exec friend -- timeout 2 wget -q -O - http://web:8000/ || echo blocked` prints "blocked"
    And `kubectl exec friend -- nslookup web.$NAMESPACE.svc.cluster.local` prints "Address"
    And `kubectl exec stranger -- timeout 5 wget -q -O - http://web:8000/` prints "Inspector 1.0.0"

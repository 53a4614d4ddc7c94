Feature: Services and names
  A service answers from everywhere: the host, the nodes, and pods, the pods behind it included.

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
              - name: shell
                image: busybox:1.35
                command: ["sleep", "3600"]
      - apiVersion: v1
        kind: Service
        metadata:
          name: web
        spec:
          type: NodePort
          selector: {app: web}
          ports:
          - {name: http, port: 8000, targetPort: 80}
      """
    And 3 pods with label "app=web" are running and ready

  @W3 @W19 @T5
  Scenario: it answers the host, the nodes and its own pods
    Then port 8000 of service "web" answers "/" with "Inspector 1.0.0"
    And all 3 pods with label "app=web" answer "/net" through the node port of service "web"
    And the pods with label "app=web" run on 2 nodes
    And `wheelhouse ssh minion-1 -- curl -s http://$(kubectl get svc web -o jsonpath={.spec.clusterIP}):8000/` prints "Inspector 1.0.0"
    And `for i in 1 2 3 4 5 6 7 8 9; do kubectl exec $(kubectl get pod -l app=web -o name | head -1) -c shell -- timeout 5 wget -q -O - http://web:8000/ || exit 1; done` prints "Inspector 1.0.0"
    And `for pod in $(kubectl get pod -l app=web -o name); do for ip in $(kubectl get pod -l app=web -o jsonpath={.items[*].status.podIP}); do kubectl exec $pod -c shell -- ping -c 1 -W 2 $ip || exit 1; done; done` prints "0% packet loss"

  @W3 @ping
  Scenario: a node pings pods of the others
    Then `wheelhouse ssh minion-1 -- ping -c 1 -W 2 $(kubectl get pod -l app=web -o jsonpath={.items[0].status.podIP})` prints "1 received"
    And `wheelhouse ssh minion-2 -- ping -c 1 -W 2 $(kubectl get pod -l app=web -o jsonpath={.items[0].status.podIP})` prints "1 received"
    And `wheelhouse ssh master -- ping -c 1 -W 2 $(kubectl get pod -l app=web -o jsonpath={.items[0].status.podIP})` prints "1 received"

  @W20 @N6
  Scenario: names of services and pods lead to addresses
    Then `kubectl exec $(kubectl get pod -l app=web -o name | head -1) -c shell -- nslookup web.$NAMESPACE.svc.cluster.local` prints "Address"
    And `kubectl exec $(kubectl get pod -l app=web -o name | head -1) -c shell -- timeout 5 wget -q -O - http://web.$NAMESPACE:8000/` prints "Inspector 1.0.0"
    And `kubectl exec $(kubectl get pod -l app=web -o name | head -1) -c shell -- nslookup kubernetes.default.svc.cluster.local` prints "Address"

  @W20
  Scenario: a pod that is made after a service finds it in its environment
    When `kubectl run after --image=busybox:1.35 --restart=Never -- env` succeeds
    Then pod "after" is Succeeded
    And `kubectl logs after` prints a line like "^WEB_SERVICE_HOST=10\."
    And `kubectl logs after` prints a line like "^WEB_SERVICE_PORT=8000$"
    And `kubectl logs after` prints a line like "^WEB_PORT=tcp://10\.[0-9.]+:8000$"
    And `kubectl logs after` prints a line like "^WEB_PORT_8000_TCP=tcp://10\.[0-9.]+:8000$"
    And `kubectl logs after` prints a line like "^WEB_PORT_8000_TCP_PROTO=tcp$"
    And `kubectl logs after` prints a line like "^WEB_PORT_8000_TCP_PORT=8000$"
    And `kubectl logs after` prints a line like "^WEB_PORT_8000_TCP_ADDR=10\."

  @N8
  Scenario: session affinity keeps a client with one pod
    When `kubectl patch service web -p '{"spec":{"sessionAffinity":"ClientIP"}}'` succeeds
    Then `sleep 1; ip=$(kubectl get svc web -o jsonpath={.spec.clusterIP}); for i in $(seq 12); do curl -s http://$ip:8000/net | grep -o '10\.[0-9.]*/24'; done | sort | uniq -c` prints a line like "^ *12 10\.[0-9.]+/24\n*\z"

  @N8
  Scenario: without ready pods a connection is refused at once
    When `kubectl scale rc web --replicas=0` succeeds
    Then no pod with label "app=web" is left
    And `timeout 3 curl -s http://$(kubectl get svc web -o jsonpath={.spec.clusterIP}):8000/; echo status $?` prints "status 7"

  @N8
  Scenario: UDP is carried, too
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata:
          name: echo
          labels: {app: echo}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - name: echo
            image: b.gcr.io/kuar/inspector:1.0.0
            args: ["-udp", ":7000"]
      - apiVersion: v1
        kind: Service
        metadata:
          name: echo
        spec:
          selector: {app: echo}
          ports:
          - {port: 7, targetPort: 7000, protocol: UDP}
      """
    Then pod "echo" is running and ready
    And `exec 3<>/dev/udp/$(kubectl get svc echo -o jsonpath={.spec.clusterIP})/7 && echo hello >&3 && timeout 2 head -1 <&3` prints "echo hello"

  @W20
  Scenario: a service with endpoints written by hand
    Given the objects:
      """
      apiVersion: v1
      kind: Service
      metadata:
        name: outside
      spec:
        ports:
        - {protocol: TCP, port: 80, targetPort: 9376}
      """
    Then service "outside" has no endpoints
    When `printf '{"kind":"Endpoints","apiVersion":"v1","metadata":{"name":"outside"},"subsets":[{"addresses":[{"ip":"%s"}],"ports":[{"port":80}]}]}' $(kubectl get pod -l app=web -o jsonpath={.items[0].status.podIP}) | kubectl apply -f -` succeeds
    Then port 80 of service "outside" answers "/" with "Inspector 1.0.0"

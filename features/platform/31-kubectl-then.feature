Feature: The client of 2015 and 2016
  What kubectl has removed since works beside it, and one line shows today's spelling.

  @P4
  Scenario: run with replicas makes a service and a deployment
    When `kubectl run my-nginx --image=nginx --replicas=3 --expose --port=80 2>note` succeeds
    Then `grep -c . note` prints a line like "^1$"
    And `cat note` prints "kubectl create deployment my-nginx --image=nginx --replicas=3 --port=80"
    And 3 pods with label "run=my-nginx" are running and ready
    And `kubectl get deployment my-nginx` prints a line like "^my-nginx +3/3 +3 +3 "
    And port 80 of service "my-nginx" answers "/" with "Welcome to nginx!"
    And `kubectl run my-nginx --image=nginx --replicas=3` fails with "already exists"

  @P4 @M5
  Scenario: run as in a text of 2016, to the letter
    When `KUBECTL_YEAR=2016 kubectl run monolith --image askcarter/monolith:1.0.0 2>/dev/null` succeeds
    And `kubectl expose deployment monolith --port 80 --type LoadBalancer` succeeds
    Then `KUBECTL_YEAR=2016 kubectl scale deployment monolith --replicas 3` prints a line like "^deployment .monolith. scaled$"
    And 3 pods with label "run=monolith" are running and ready
    And `kubectl get service monolith` prints a line like "^monolith +LoadBalancer +10\."
    And the node port of service "monolith" answers "/" on every node with "Hello"
    And `KUBECTL_YEAR=2016 kubectl delete services monolith` prints a line like "^service .monolith. deleted$"
    And `KUBECTL_YEAR=2016 kubectl delete deployment monolith` prints a line like "^deployment .monolith. deleted$"
    And no pod with label "run=monolith" is left

  Scenario: run makes what the other generators made
    When `kubectl run one --image=nginx --generator=run-pod/v1 && kubectl run rc --image=nginx --generator=run/v1 && kubectl run once --image=busybox:1.35 --generator=job/v1 -- true && kubectl run often --image=busybox:1.35 --schedule='0 5 * * *' -- true` succeeds
    Then pod "one" is running and ready
    And `kubectl get rc rc -o jsonpath={.spec.selector.run}` prints "rc"
    And `kubectl wait --for=condition=Complete job/once --timeout=60s` prints "condition met"
    And `kubectl get cronjob often` prints "0 5 * * *"
    And `kubectl run x --image=nginx --generator=nosuch/v1` fails with "it can be deployment/v1beta1"
    And `kubectl run x --image=nginx --replicas=1 --expose` fails with "--port=PORT is needed"

  @W11 @W15 @T3
  Scenario: the output of that time
    Given the objects:
      """
      apiVersion: v1
      kind: ReplicationController
      metadata: {name: inspector}
      spec:
        replicas: 1
        template:
          metadata:
            labels: {app: inspector}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - {name: inspector, image: "b.gcr.io/kuar/inspector:1.0.0"}
      """
    Then `KUBECTL_YEAR=2015 kubectl scale rc inspector --replicas=2` prints a line like "^scaled$"
    And `kubectl scale rc inspector --replicas=3` prints a line like "^replicationcontroller/inspector scaled$"
    And 3 pods with label "app=inspector" are running and ready
    And `KUBECTL_YEAR=2015 kubectl delete rc inspector` prints a line like "^replicationcontroller .inspector. deleted$"
    And `kubectl get pods -l app=inspector -o name` prints nothing
    And `KUBECTL_YEAR=1999 kubectl get pods` fails with "unset it for today's kubectl"

  @W11 @W18
  Scenario: verbs and flags that are gone
    When `kubectl run web --image=nginx --port=80 && kubectl wait --for=condition=Ready pod/web --timeout=60s` succeeds
    Then `kubectl get pod/web -o template -t "{{.status.phase}}" 2>/dev/null` prints "Running"
    And `kubectl get pods -a 2>&1 >/dev/null` prints "today one writes: kubectl get pods"
    And `kubectl exec web cat /etc/hostname 2>/dev/null` prints "web"
    And `kubectl log web >/dev/null 2>note; cat note` prints "today one writes: kubectl logs web"
    And `kubectl stop pod/web 2>/dev/null` prints "deleted"
    And pod "web" is gone

  @M6
  Scenario: rolling-update exchanges one controller for another and loses no request
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Service
        metadata: {name: app}
        spec:
          selector: {app: monolith}
          type: NodePort
          ports:
          - {port: 80}
      - apiVersion: v1
        kind: ReplicationController
        metadata: {name: app-v1}
        spec:
          replicas: 2
          template:
            metadata:
              labels: {app: monolith, version: v1}
            spec:
              containers:
              - name: monolith
                image: askcarter/monolith:1.0.0
                readinessProbe:
                  httpGet: {path: /readiness, port: 81}
                  periodSeconds: 1
      """
    And 2 pods with label "version=v1" are running and ready
    When `printf '{apiVersion: v1, kind: ReplicationController, metadata: {name: app-v2}, spec: {replicas: 2, template: {metadata: {labels: {app: monolith, version: v2}}, spec: {containers: [{name: monolith, image: "askcarter/monolith:2.0.0", readinessProbe: {httpGet: {path: /readiness, port: 81}, periodSeconds: 1}}]}}}}' > v2.yaml` succeeds
    Then a steady client of service "app" loses no request for "/" while `kubectl rolling-update app-v1 -f v2.yaml --update-period=100ms --poll-interval=200ms > out 2> note` runs
    And `cat out` prints:
      """
      Created app-v2
      Scaling up app-v2 from 0 to 2, scaling down app-v1 from 2 to 0 (keep 2 pods available, don't exceed 3 pods)
      Scaling app-v2 up to 1
      Scaling app-v1 down to 1
      Scaling app-v2 up to 2
      Scaling app-v1 down to 0
      Update succeeded. Deleting app-v1
      replicationcontroller/app-v2 rolling updated
      """
    And `cat note` prints "kubectl set image deployment/NAME"
    And 2 pods with label "version=v2" are running and ready
    And no pod with label "version=v1" is left
    # With an image alone the controller keeps its name.
    When `kubectl rolling-update app-v2 --image=askcarter/monolith:1.0.0 --update-period=100ms --poll-interval=200ms > out 2>/dev/null` succeeds
    Then `tail -1 out` prints a line like "^replicationcontroller/app-v2 rolling updated$"
    And `kubectl get rc -o name` prints:
      """
      replicationcontroller/app-v2
      """
    And `kubectl get pods -l app=monolith -o jsonpath='{.items[*].spec.containers[0].image}'` prints "askcarter/monolith:1.0.0 askcarter/monolith:1.0.0"

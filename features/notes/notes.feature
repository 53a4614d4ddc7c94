Feature: Field notes
  What labs/notes/01-notes: each scenario holds at the point of the text that names it.

  @N1
  Scenario: the file server is missing, and the pod's events show it
    Then `kubectl describe pod kuard` prints a line like "Warning +FailedMount .*kuard-remote-data"
    And `kubectl get pod kuard` prints a line like "^kuard +0/1 +ContainerCreating +0 "

  @N1
  Scenario: kuard runs with its volume and its limits, and is not ready in its first 30 seconds
    Then pod "kuard-local" is Running
    # Not ready, or ready 30 seconds after its start: what is done stays so while a learner reads.
    And `kubectl get pod kuard-local -o jsonpath='{.status.containerStatuses[0].state.running.startedAt} {.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].lastTransitionTime}' | awk -F'[T:Z ]+' '$5 == "False" || ($7*3600 + $8*60 + $9 - $2*3600 - $3*60 - $4 + 86400) % 86400 >= 30 { print "not earlier" }'` prints "not earlier"
    And `kubectl describe pod kuard-local` prints:
      """
      Port: 8080/TCP
      Limits:
      cpu: 1
      memory: 256Mi
      Requests:
      cpu: 500m
      memory: 128Mi
      Liveness: http-get http://:8080/healthy delay=5s timeout=1s period=10s #success=1 #failure=3
      Readiness: http-get http://:8080/ready delay=30s timeout=1s period=10s #success=1 #failure=3
      /data from kuard-data (rw)
      Path: /var/lib/kuard
      QoS Class: Burstable
      """

  @N2
  Scenario: the postStart hook of each pod ran
    Then 3 pods with label "name=apache-hook" are running and ready
    And `for pod in $(kubectl get pod -l name=apache-hook -o name); do kubectl logs $pod | grep -q '"GET /register/" 200' || exit 1; done; echo all` prints "all"

  @N2
  Scenario: the pod was stopped gracefully
    Then `cat last-words.txt` prints "caught SIGWINCH, shutting down gracefully"
    And 3 pods with label "name=apache-hook" are running and ready

  @N2
  Scenario: a container whose hook fails is killed
    Then `kubectl describe pod hook-fails` prints a line like "Warning +FailedPostStartHook "
    And `kubectl describe pod hook-fails` prints "the registry does not answer"
    And `kubectl get pod hook-fails` prints a line like "^hook-fails +0/1 .*CrashLoopBackOff|^hook-fails +0/1 .*PostStartHookError"

  @N4
  Scenario: three pods match the selector
    Then 3 pods with label "app=node-js-express,deployment=test,name=node-js-rs" are running and ready
    And `kubectl get rs node-js-rs` prints the columns "NAME DESIRED CURRENT READY AGE"
    And `kubectl get rs node-js-rs -o wide` prints a line like "^node-js-rs +3 +3 +3 .*app=node-js-express,deployment=test,name in \(node-js-rs\)"
    And `kubectl get rs.v1.apps node-js-rs -o jsonpath={.apiVersion}` prints "apps/v1"
    And `curl -s http://$(kubectl get pod -l app=node-js-express -o jsonpath={.items[0].status.podIP})/` prints "Host: node-js-rs-"

  @N4
  Scenario: the deleted and the relabelled pod are replaced
    Then 3 pods with label "app=node-js-express,deployment=test" are running and ready
    And 1 pod with label "app=node-js-express,deployment=debug" is running and ready
    And `kubectl describe rs node-js-rs | grep -c SuccessfulCreate` prints a line like "^5$"

  @N4
  Scenario: one pod too many is deleted
    Then 3 pods with label "app=node-js-express,deployment=test" are running and ready
    And no pod with label "deployment=debug" is left
    And `kubectl describe rs node-js-rs` prints "SuccessfulDelete"

  @N5
  Scenario: the three pods are spread over nodes
    Then the pods with label "app=node-js-express" run on 2 nodes

  @N5
  Scenario: a pod that fits nowhere is Pending, with the reason
    Then `kubectl get pods -l name=node-js-constraints -o jsonpath={.items[0].spec.containers[0].resources.requests}` prints a line like "cpu.:.(1500m|1.5).*512Mi"
    And `kubectl get pods -l name=node-js-giant --field-selector status.phase=Pending -o name | wc -l` prints a line like "^3$"
    And `kubectl describe pods -l name=node-js-giant --show-events` prints a line like "Warning +FailedScheduling .*0/[0-9]+ nodes are available: .*Insufficient cpu"

  @N6 @N7
  Scenario: one name, two addresses
    Then `kubectl get namespaces` prints:
      """
      default Active
      kube-system Active
      """
    And `kubectl exec client -n lab-notes-test -- ping -c 1 -W 1 my-database | grep -F "($(kubectl get service my-database -n lab-notes-test -o jsonpath={.spec.clusterIP}))"` prints "PING my-database"
    And `kubectl exec client -n lab-notes-prod -- ping -c 1 -W 1 my-database | grep -F "($(kubectl get service my-database -n lab-notes-prod -o jsonpath={.spec.clusterIP}))"` prints "PING my-database"
    And `kubectl get pod client` fails with "NotFound"

  @N7
  Scenario: a name and an address stand for servers outside
    Then `kubectl exec client -n lab-notes-test -- nslookup external-database.$NAMESPACE.svc.cluster.local` prints "canonical name = database.company.com"
    And `kubectl get service external-database -o jsonpath={.spec.clusterIP}` prints nothing
    And `curl -s -m 3 http://$(kubectl get service external-ip-database -o jsonpath={.spec.clusterIP}):3306/healthy` prints "ok"

  @N6
  Scenario: quota and roles apply in their namespace
    Then `kubectl describe quota small -n lab-notes-test` prints:
      """
      pods 1 1
      services 1 2
      """
    And `sed 's/name: client/name: second/' client.yaml | kubectl create --dry-run=server -n lab-notes-test -f -` fails with "exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1"
    And `kubectl auth can-i list pods --as=dana -n lab-notes-test` prints "yes"
    And `kubectl auth can-i list pods --as=dana -n lab-notes-prod` fails with "no"

  @N1
  Scenario: kuard is ready, and serves its pages
    Then pod "kuard-local" is running and ready
    And port 8080 of pod "kuard-local" answers "/" with "Version: kuard blue"
    And port 8080 of pod "kuard-local" answers "/healthy" with "ok"
    And port 8080 of pod "kuard-local" answers "/env/api" with "KUBERNETES_SERVICE_HOST"
    And port 8080 of pod "kuard-local" answers "/fs/data/" with status 200

  @N1
  Scenario: a container that exceeds its memory limit is killed
    Then pod "kuard-local" has restarted 1 times
    And `kubectl describe pod kuard-local` prints:
      """
      Last State: Terminated
      Reason: OOMKilled
      Exit Code: 137
      """

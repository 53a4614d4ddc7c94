Feature: More kinds of workloads
  What labs/monolith/05-more: each scenario holds at the point of the text that names it.

  @M7
  Scenario: the burner has an autoscaler
    Then `kubectl get hpa burner` prints a line like "^burner +Deployment/burner +"
    And `kubectl get deployment burner -o name` prints "deployment.apps/burner"

  @M7 @W12 @W13
  Scenario: a volume is provisioned for the claim, and keeps its data
    Then `kubectl get pvc notebook` prints a line like "^notebook +Bound +pvc-[0-9a-f-]+ +100Mi +RWO "
    And pod "writer" is Succeeded
    And `kubectl logs writer` prints a line like "^ *2$"

  @M7
  Scenario: the jobs are complete
    Then `kubectl get job sum` prints a line like "^sum +Complete +3/3 "
    And `kubectl logs -l job-name=sum` prints:
      """
      5050
      5050
      5050
      """
    And `kubectl get cronjob report` prints a line like "^report +0 6 \* \* 1-5 +<none> +False +0 "
    And `kubectl logs job/today` prints "all is well"

  @M7
  Scenario: a watchman on every node
    Then `kubectl get daemonset watchman -o jsonpath='{.status.desiredNumberScheduled} {.status.numberReady}' | awk '$1 == $2 && $1 >= 2 { print "one each" }'` prints "one each"
    And `kubectl logs -l app=watchman` prints "watching over"

  @M7
  Scenario: the pets have names, volumes and addresses
    Then pod "pet-0" is running and ready
    And pod "pet-1" is running and ready
    And `kubectl get statefulset pet` prints a line like "^pet +2/2 "
    And `kubectl get pvc home-pet-0 home-pet-1 -o jsonpath='{.items[*].status.phase}'` prints "Bound Bound"
    And `kubectl exec pet-0 -- ping -c 1 pet-1.pets | grep -F "($(kubectl get pod pet-1 -o jsonpath={.status.podIP}))"` prints "PING pet-1.pets"

  @M7
  Scenario: one address leads to two services
    Then `kubectl get ingress front` prints a line like "^front +[^ ]+ +hello.example +[0-9.]+ +80 "
    And `curl -s -H 'Host: hello.example' http://$(kubectl get ingress front -o jsonpath={.status.loadBalancer.ingress[0].ip})/` prints "Hello"
    And `curl -s -H 'Host: hello.example' -u user:password http://$(kubectl get ingress front -o jsonpath={.status.loadBalancer.ingress[0].ip})/login` prints "token"
    And `curl -s -o /dev/null -w %{http_code} http://$(kubectl get ingress front -o jsonpath={.status.loadBalancer.ingress[0].ip})/` prints "404"

  @M7
  Scenario: the metrics are available
    Then `kubectl top pods` prints the columns "NAME CPU(cores) MEMORY(bytes)"
    And `kubectl top pods -l app=burner` prints a line like "^burner-[^ ]+ +[1-9][0-9]*m +[0-9]+Mi"
    And `kubectl top nodes` prints a line like "^minion-1 +[0-9]+m +[0-9]+% +[0-9]+Mi +[0-9]+%|^[^ ]+ +[0-9]+m +[0-9]+% "

  @M7
  Scenario: the page was requested through the proxy
    Then `cat proxy.log` prints "Starting to serve on 127.0.0.1:10801"

  @M7
  Scenario: the burner was scaled up
    Then `kubectl get hpa burner` prints a line like "^burner +Deployment/burner +cpu: [0-9]+%/50% +1 +3 +[1-3] "
    And 3 pods with label "app=burner" are running and ready
    And `kubectl describe hpa burner` prints a line like "SuccessfulRescale .*New size: [23]; reason: cpu resource utilization .* above target"

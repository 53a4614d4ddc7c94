Feature: A cluster, part by part

  @P3
  Scenario: the API server stores a deployment
    Then `kubectl --kubeconfig /var/lib/hard-way/server/admin.kubeconfig get deployment web -o jsonpath={.spec.replicas}` prints a line like "^1$"

  @P3
  Scenario: the controllers have made a pod, which is Pending
    Then `kubectl --kubeconfig /var/lib/hard-way/server/admin.kubeconfig get pods -l app=web` prints a line like "^web-.* 0/1 +Pending +0 "

  @P3 @N5
  Scenario: the scheduler says why the pod is Pending
    Then `kubectl --kubeconfig /var/lib/hard-way/server/admin.kubeconfig describe pods -l app=web` prints "no nodes available to schedule pods"

  @P3 @M5
  Scenario: the node is ready and runs the pod
    Then `kubectl --kubeconfig /var/lib/hard-way/server/admin.kubeconfig get nodes` prints a line like "^pi +Ready "
    And `kubectl --kubeconfig /var/lib/hard-way/server/admin.kubeconfig get pods -l app=web` prints a line like "^web-.* 1/1 +Running "

  @W20
  Scenario: the address of the service answers on the node
    Then `nsenter --net=/run/netns/hard-way curl -s -m 3 http://$(kubectl --kubeconfig /var/lib/hard-way/server/admin.kubeconfig get service web -o jsonpath={.spec.clusterIP})/` prints "nginx"

  @M5
  Scenario: the pod is back
    Then `kubectl --kubeconfig /var/lib/hard-way/server/admin.kubeconfig get deployment web -o jsonpath={.status.availableReplicas},{.metadata.annotations.healed}` prints "1,yes"

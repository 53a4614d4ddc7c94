@alone
Feature: Addresses of load balancers on the nodes' link
  With a pool of addresses a service of type LoadBalancer has one that every machine on the link reaches, through one node at a time.

  Background:
    Given the cluster has the nodes' addresses .210 to .213 for load balancers
    And a machine "laptop" at .230 and a machine "phone" at .231 of the nodes' link
    And the objects:
      """
      apiVersion: v1
      kind: ReplicationController
      metadata:
        name: web
      spec:
        replicas: 1
        selector: {app: web}
        template:
          metadata:
            labels: {app: web}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - name: web
              image: busybox:1.35
              command: ["sh", "-c", "mkdir -p /www/cgi-bin && printf '#!/bin/sh\\necho\\necho from $REMOTE_ADDR\\n' >/www/cgi-bin/from && chmod +x /www/cgi-bin/from && exec httpd -f -p 8080 -h /www"]
              readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
      """
    And 1 pods with label "app=web" are running and ready

  @T5 @P5
  Scenario: kubectl expose gives an address that a machine on the link reaches, and its deletion takes it back
    When `kubectl expose rc web --type=LoadBalancer --port=8300 --target-port=8080` prints "exposed"
    Then `kubectl get service web` prints a line like "^web +LoadBalancer +10\.[0-9.]+ +10\.[0-9.]+\.21[0-3] +8300:3[0-9]+/TCP"
    And `kubectl describe service web` prints "Ensured load balancer"
    And on machine "laptop" `curl -s --max-time 5 http://$(kubectl get service web -o jsonpath={.status.loadBalancer.ingress[0].ip}):8300/cgi-bin/from` prints "10."
    And `curl -s --max-time 5 http://$(kubectl get service web -o jsonpath={.status.loadBalancer.ingress[0].ip}):8300/cgi-bin/from` prints "10."
    When `kubectl delete service web` succeeds
    Then `kubectl get service -o name | grep -c web || true` prints a line like "^0$"

  Scenario: the client's address is kept where the policy says Local, and ranges refuse others
    Given `kubectl expose rc web --type=LoadBalancer --port=80 --target-port=8080 --overrides='{"apiVersion":"v1","spec":{"externalTrafficPolicy":"Local"}}'` succeeds
    Then on machine "laptop" `curl -s --max-time 5 http://$(kubectl get service web -o jsonpath={.status.loadBalancer.ingress[0].ip})/cgi-bin/from` prints ".230"
    And on machine "phone" `curl -s --max-time 5 http://$(kubectl get service web -o jsonpath={.status.loadBalancer.ingress[0].ip})/cgi-bin/from` prints ".231"
    When `kubectl patch service web -p '{"spec":{"loadBalancerSourceRanges":["'$(kubectl get node minion-1 -o jsonpath={.status.addresses[0].address} | cut -d. -f1-3)'.230/32"]}}'` succeeds
    Then on machine "phone" `curl -s -o /dev/null --max-time 2 http://$(kubectl get service web -o jsonpath={.status.loadBalancer.ingress[0].ip})/ || echo refused` prints "refused"
    And on machine "laptop" `curl -s --max-time 5 http://$(kubectl get service web -o jsonpath={.status.loadBalancer.ingress[0].ip})/cgi-bin/from` prints ".230"

  Scenario: the pool is exhausted and says so, and an address that is free is given on
    Given `for i in 1 2 3 4; do kubectl create service loadbalancer s$i --tcp=80; done` succeeds
    And `kubectl wait --for=jsonpath='{.status.loadBalancer.ingress}' service/s1 service/s2 service/s3 service/s4 --timeout=60s` succeeds
    When `kubectl create service loadbalancer late --tcp=80` succeeds
    Then `kubectl describe service late` prints "no address of the pool"
    When `kubectl patch service s2 -p '{"spec":{"type":"ClusterIP"}}'` succeeds
    Then `kubectl wait --for=jsonpath='{.status.loadBalancer.ingress}' service/late --timeout=60s` succeeds

  Scenario: the node that answers is killed, and another one answers
    Given `kubectl expose rc web --type=LoadBalancer --port=80 --target-port=8080` succeeds
    When the node that answers machine "laptop" for service "web" is killed
    Then another node answers machine "laptop" for service "web"
    And on machine "laptop" `curl -s --max-time 5 http://$(kubectl get service web -o jsonpath={.status.loadBalancer.ingress[0].ip})/cgi-bin/from` prints "10."
    And the cluster is brought up again

Feature: A monolith in pods
  What labs/monolith/02-monolith: each scenario holds at the point of the text that names it.

  @M2 @M3
  Scenario: the monolith runs as a pod
    Then pod "monolith" is running and ready
    And port 80 of pod "monolith" answers "/" with "Hello"
    And port 80 of pod "monolith" answers "/version" with "1.0.0"
    And port 80 of pod "monolith" answers "/secure" with status 401
    And port 81 of pod "monolith" answers "/readiness" with "ok"
    And `kubectl logs monolith` prints "monolith 1.0.0 serves 0.0.0.0:80"
    And `kubectl describe pods monolith` prints:
      """
      Image: askcarter/monolith:1.0.0
      Ports: 80/TCP (http), 81/TCP (health)
      Args:
      -http=0.0.0.0:80
      Limits:
      cpu: 200m
      memory: 32Mi
      """

  @M2
  Scenario: three containers share an address and a volume
    Then `kubectl get pod together` prints a line like "^together +3/3 +Running +0 "
    And port 8080 of pod "together" answers "/" with "Hello"
    And port 80 of pod "together" answers "/version.json" with "1.0.0"
    And `kubectl exec together -c reporter -- wget -q -O - http://127.0.0.1/version.json` prints "1.0.0"
    And `kubectl get pod together -o jsonpath={.status.podIPs[*].ip}` prints a line like "^10\.[0-9.]+$"

  @M3
  Scenario: a ready pod gets traffic
    Then pod "healthy-monolith" is running and ready
    And service "healthy-monolith" has as endpoints the 1 ready pods with label "app=healthy-monolith"
    And port 80 of service "healthy-monolith" answers "/" with "Hello"

  @M3
  Scenario: a pod that is not ready gets no traffic
    Then `kubectl get pod healthy-monolith` prints a line like "^healthy-monolith +0/1 +Running +0 "
    And service "healthy-monolith" has no endpoints
    And `kubectl describe pod healthy-monolith` prints "Readiness probe failed: HTTP probe failed with statuscode: 503"

  @M3
  Scenario: a pod that is ready again gets traffic
    Then pod "healthy-monolith" is running and ready
    And pod "healthy-monolith" has restarted 0 times
    And port 80 of service "healthy-monolith" answers "/" with "Hello"

  @M3
  Scenario: after three failures the container is restarted
    Then pod "healthy-monolith" has restarted 1 times
    And pod "healthy-monolith" is running and ready
    And `kubectl describe pod healthy-monolith` prints "Liveness probe failed: HTTP probe failed with statuscode: 503"
    And `kubectl describe pod healthy-monolith` prints "Container monolith failed liveness probe, will be restarted"
    And `kubectl logs healthy-monolith --previous` prints "told to end"

  @M4
  Scenario: the cluster has the secrets and the config map
    Then `kubectl describe secret tls-certs` prints:
      """
      Type: Opaque
      Data
      ca.pem:
      cert.pem:
      key.pem:
      """
    And `kubectl describe secret tls-certs | grep -c PRIVATE || true` prints a line like "^0$"
    And `kubectl get secret tls-certs -o go-template='{{index .data "key.pem"}}' | base64 -d` prints "PRIVATE KEY"
    And `kubectl describe configmap nginx-proxy-conf` prints "proxy_pass http://127.0.0.1:80;"

  @M4
  Scenario: the pod serves TLS
    Then pod "secure-monolith" is running and ready
    And port 443 of pod "secure-monolith" answers "/" over TLS, trusting "tls/ca.pem" for "monolith", with "Hello"
    And port 443 of pod "secure-monolith" answers "/version" over TLS, trusting "tls/ca.pem" for "127.0.0.1", with "1.0.0"
    And `kubectl exec secure-monolith -c nginx -- ls /etc/tls` prints:
      """
      ca.pem
      cert.pem
      key.pem
      """

  @M5
  Scenario: no pod has both labels
    Then service "monolith" has no endpoints
    And `kubectl get pods -l app=monolith -o name` prints:
      """
      pod/monolith
      pod/secure-monolith
      """
    And `kubectl get pods -l app=monolith,secure=enabled -o name` prints nothing

  @M4 @M5
  Scenario: the labelled pod is an endpoint of the service
    Then service "monolith" has as endpoints the 1 ready pods with label "app=monolith,secure=enabled"
    And port 443 of service "monolith" answers "/" over TLS, trusting "tls/ca.pem" for "monolith", with "Hello"
    And `curl -s --cacert tls/ca.pem https://$NODE_IP:$(kubectl get service monolith -o jsonpath={.spec.ports[0].nodePort})/` prints "Hello"

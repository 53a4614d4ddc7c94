Feature: The parts of the cluster, and its nodes
  What labs/workshop/04-nodes: each scenario holds at the point of the text that names it.

  @W1 @W2
  Scenario: the parts of the cluster answer and are healthy
    Then `kubectl cluster-info` prints a line like "KubeDNS.* is running at"
    And `kubectl cluster-info` prints a line like "KubeUI.* is running at"
    And `for path in $(kubectl cluster-info | grep -o 'https://[^ ]*' | sed -E 's#https://[^/]+##; s#^$#/#'); do kubectl get --raw $path >/dev/null && echo $path answers; done | grep -c answers` prints a line like "^3$"
    And at least 2 nodes are ready
    And `kubectl get componentstatuses 2>/dev/null` prints a line like "^controller-manager +Healthy +ok"
    And `kubectl get componentstatuses 2>/dev/null` prints a line like "^scheduler +Healthy +ok"
    And `kubectl get componentstatuses 2>/dev/null` prints a line like "^etcd-0 +Healthy"

  @W3
  Scenario: every node reaches the pods
    Then 2 pods with label "app=pair" are running and ready
    And `urls=$(kubectl get pod -l app=pair -o jsonpath='{range .items[*]}http://{.status.podIP}/ {end}'); for node in $(kubectl get nodes -o jsonpath='{.items[*].metadata.name}'); do wheelhouse ssh $node -- curl -s -m 3 $urls | grep -c hello; done | sort -u | tr -d '\n'` prints a line like "^2$"
    And `kubectl exec rc/pair -- ping -c 1 -W 2 $(kubectl get pod -l app=pair -o jsonpath='{.items[1].status.podIP}')` prints "0% packet loss"

  @W4
  Scenario: Docker has started the pod's containers
    Then pod "watched" is running and ready
    And `wheelhouse ssh $(kubectl get pod watched -o jsonpath={.spec.nodeName}) -- docker ps --format '{{.Names}}' | grep $NAMESPACE` prints "k8s_watched_watched_"
    And `cat events.txt` prints a line like "^start k8s_POD_watched_"
    And `cat events.txt` prints a line like "^start k8s_watched_watched_"

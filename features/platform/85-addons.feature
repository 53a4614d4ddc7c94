@alone
Feature: The add-ons for a shelf of Raspberry Pis, and services at the nodes' own addresses
  arm/addons are manifests for any cluster; their images are built here.

  @P2
  Scenario: a registry, a load balancer, and graphs of a day
    Given `kubectl apply -f $(dirname $(command -v wheelhouse))/../arm/addons` succeeds
    Then `kubectl -n kube-system rollout status deployment/registry --timeout 5s` prints "successfully rolled out"
    And `kubectl -n kube-system rollout status deployment/loadbalancer --timeout 5s` prints "successfully rolled out"
    And `kubectl -n kube-system rollout status deployment/monitoring --timeout 5s` prints "successfully rolled out"
    # What is pushed on one node is pulled on the other, at localhost on both.
    And `wheelhouse ssh minion-1 -- sh -c 'to=$(curl -si -X POST http://localhost:30500/v2/hello/blobs/uploads/ | tr -d "\r" | sed -n "s/^Location: //p"); curl -si -X PUT -H Content-Type:application/octet-stream --data-binary hello "$to&digest=sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"'` prints "201 Created"
    And `wheelhouse ssh minion-2 -- curl -s http://localhost:30500/v2/hello/blobs/sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824` prints "hello"
    When `kubectl create deployment balanced --image=b.gcr.io/kuar/inspector:1.0.0 && kubectl expose deployment balanced --type=LoadBalancer --port=8310 --target-port=80` succeeds
    Then `kubectl get service balanced -o jsonpath={.status.loadBalancer.ingress[*].ip} | grep -o "$(kubectl get node minion-1 -o jsonpath={.status.addresses[0].address})"` prints "10."
    And `curl -s --max-time 5 http://$(kubectl get node minion-1 -o jsonpath={.status.addresses[0].address}):8310/` prints "Inspector 1.0.0"
    And `curl -s --max-time 5 http://$(kubectl get node minion-2 -o jsonpath={.status.addresses[0].address}):8310/` prints "Inspector 1.0.0"
    And `kubectl get --raw /api/v1/namespaces/kube-system/services/monitoring:http/proxy/` prints "<h3>minion-1</h3>"
    And `kubectl get --raw /api/v1/namespaces/kube-system/services/monitoring:http/proxy/` prints "<h3>kube-system/registry-"
    When `kubectl delete -f $(dirname $(command -v wheelhouse))/../arm/addons` succeeds
    Then `kubectl -n kube-system get deployments,services -o name | grep -cE 'registry|monitoring|loadbalancer' || true` prints a line like "^0$"

  @P5
  Scenario: a deployment exposed at a node's address, and at another port
    When `kubectl run hello-kube --image=b.gcr.io/kuar/inspector:1.0.0 --replicas=2 --port=80` prints "created"
    And `kubectl expose deployment hello-kube --type=LoadBalancer --external-ip=$(kubectl get node minion-1 -o jsonpath={.status.addresses[0].address})` prints "exposed"
    Then `curl -s --max-time 5 http://$(kubectl get service hello-kube -o jsonpath={.spec.clusterIP})/` prints "Inspector 1.0.0"
    And `curl -s --max-time 5 http://$(kubectl get node minion-1 -o jsonpath={.status.addresses[0].address})/` prints "Inspector 1.0.0"
    And `kubectl get svc hello-kube` prints a line like "^hello-kube +LoadBalancer +10[.][0-9.]+ +10[.][0-9.]+ +80:"
    When `kubectl delete service hello-kube` succeeds
    And `kubectl expose deployment hello-kube --port=8300 --target-port=80 --type=LoadBalancer --external-ip=$(kubectl get node minion-1 -o jsonpath={.status.addresses[0].address})` prints "exposed"
    Then `curl -s --max-time 5 http://$(kubectl get service hello-kube -o jsonpath={.spec.clusterIP}):8300/` prints "Inspector 1.0.0"
    And `curl -s --max-time 5 http://$(kubectl get node minion-1 -o jsonpath={.status.addresses[0].address}):8300/` prints "Inspector 1.0.0"
    When `kubectl delete service,deployment hello-kube` succeeds
    Then `kubectl get service,deployment -o name | grep -c hello-kube || true` prints a line like "^0$"

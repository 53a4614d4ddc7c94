Feature: Nobody's addresses but one's own
  Services and pods take nothing away from the cluster: where the API server, DNS and kubelets answer, they go on answering, and who
  wrote the rules of a service can always be asked to mend them.

  Scenario: a service and a pod that ask for the master's ports get only what is free
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: thief
        labels: {app: thief}
      spec:
        nodeName: master
        terminationGracePeriodSeconds: 1
        containers:
        - name: web
          image: b.gcr.io/kuar/inspector:1.0.0
          ports:
          - {containerPort: 80, hostPort: 443}
          - {containerPort: 81, hostPort: 10250}
          - {containerPort: 80, hostPort: 53, protocol: UDP}
          - {containerPort: 80, hostPort: 8087, name: free}
        - name: shell
          image: busybox:1.35
          command: ["sleep", "3600"]
      """
    And pod "thief" is running and ready
    When `kubectl create service clusterip thief --tcp=443:80 --tcp=10250:80 --tcp=8088:80` succeeds
    And `kubectl patch service thief --patch "{\"spec\": {\"externalIPs\": [\"$(kubectl get node master -o jsonpath={.status.addresses[0].address})\", \"$(kubectl get service kubernetes -n default -o jsonpath={.spec.clusterIP})\"]}}"` succeeds
    Then `kubectl get events --field-selector reason=AddressRefused,involvedObject.name=thief` prints "is reserved for"
    And `kubectl get events --field-selector reason=HostPortRefused,involvedObject.name=thief` prints "Port 443/TCP"
    And `curl -s http://$(kubectl get node master -o jsonpath={.status.addresses[0].address}):8087/` prints "Inspector 1.0.0"
    And `curl -s http://$(kubectl get node master -o jsonpath={.status.addresses[0].address}):8088/` prints "Inspector 1.0.0"
    And `kubectl get --raw /readyz` prints "ok"
    And `kubectl exec thief -c shell -- nslookup kubernetes.default.svc.cluster.local` prints "Address"
    And `wheelhouse ssh minion-1 -- curl -sk https://$(kubectl get node master -o jsonpath={.status.addresses[0].address})/livez` prints "ok"
    When the server is killed
    And the node process of "master" is killed
    And the cluster is brought up again
    Then at least 3 nodes are ready
    And `kubectl exec thief -c shell -- echo back` prints "back"
    And `kubectl exec thief -c shell -- nslookup kubernetes.default.svc.cluster.local` prints "Address"

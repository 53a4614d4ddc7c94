Feature: The client of today
  Every verb of kubectl does here what its documentation says.

  Background:
    Given the objects:
      """
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: web
        labels: {app: web}
      spec:
        replicas: 2
        selector: {matchLabels: {app: web}}
        template:
          metadata:
            labels: {app: web}
          spec:
            terminationGracePeriodSeconds: 1
            containers:
            - name: web
              image: askcarter/monolith:1.0.0
              ports: [{containerPort: 80}]
              resources:
                requests: {cpu: 20m, memory: 16Mi}
              readinessProbe:
                httpGet: {path: /readiness, port: 81}
                periodSeconds: 1
      """

  @M5 @M6
  Scenario: rollout
    Then `kubectl rollout status deployment/web --timeout=150s` prints "successfully rolled out"
    When `kubectl set image deployment/web web=askcarter/monolith:2.0.0 && kubectl annotate deployment/web kubernetes.io/change-cause=two` succeeds
    Then `kubectl rollout status deployment/web --timeout=150s` prints "successfully rolled out"
    And `kubectl rollout history deployment/web` prints a line like "^2 +two"
    And `kubectl rollout history deployment/web --revision=2` prints "askcarter/monolith:2.0.0"
    When `kubectl rollout pause deployment/web && kubectl set env deployment/web COLOR=blue && kubectl set resources deployment/web --limits=memory=64Mi` succeeds
    Then `kubectl get rs -l app=web -o name | grep -c replicaset` prints a line like "^2$"
    When `kubectl rollout resume deployment/web && kubectl rollout status deployment/web --timeout=150s` succeeds
    Then `kubectl get rs -l app=web -o name | grep -c replicaset` prints a line like "^3$"
    And `kubectl get deployment web -o jsonpath={.spec.template.spec.containers[0].env[0].value}` prints "blue"
    When `kubectl rollout undo deployment/web --to-revision=1 && kubectl rollout status deployment/web --timeout=150s` succeeds
    Then `kubectl get deployment web -o jsonpath={.spec.template.spec.containers[0].image}` prints "askcarter/monolith:1.0.0"
    When `kubectl rollout restart deployment/web && kubectl rollout status deployment/web --timeout=150s` succeeds
    Then `kubectl describe deployment web` prints "ScalingReplicaSet"
    And `kubectl get all` prints a line like "^deployment.apps/web +2/2 +2 +2 "

  Scenario: expose, set and scale
    When `kubectl expose deployment web --port=80 --type=NodePort` succeeds
    Then the node port of service "web" answers "/" on every node with "Hello"
    When `kubectl set selector service web app=web,tier=none` succeeds
    Then service "web" has no endpoints
    When `kubectl create serviceaccount worker && kubectl set serviceaccount deployment web worker && kubectl scale deployment web --current-replicas=2 --replicas=1` succeeds
    Then `kubectl wait deployment/web --for=jsonpath={.status.availableReplicas}=1 --timeout=60s` prints "condition met"
    And `kubectl rollout status deployment/web --timeout=150s` prints "successfully"
    And `kubectl get pods -l app=web --field-selector=status.phase=Running -o jsonpath={.items[0].spec.serviceAccountName}` prints "worker"
    And `kubectl scale deployment web --current-replicas=7 --replicas=1` fails with "Expected replicas to be 7"

  Scenario: top and autoscale
    Given 2 pods with label "app=web" are running and ready
    Then `kubectl top node` prints a line like "^minion-1 +[0-9]+m +[0-9]+% +[0-9]+Mi +[0-9]+% "
    And `kubectl top pod -l app=web --no-headers | grep -cE '^web-[^ ]+ +[0-9]+m +[0-9]+Mi'` prints a line like "^2$"
    And `kubectl top pod --containers -l app=web` prints the columns "POD NAME CPU(cores) MEMORY(bytes)"
    When `kubectl autoscale deployment web --min=3 --max=4 --cpu-percent=50` succeeds
    Then 3 pods with label "app=web" are running and ready
    And `kubectl get hpa web` prints a line like "^web +Deployment/web +.* +3 +4 +3 "
    And `kubectl describe hpa web` prints a line like "SuccessfulRescale +"

  Scenario: a node with a taint, and one with a budget is drained
    When `kubectl taint node minion-1 for=others:NoSchedule` succeeds
    And `kubectl rollout restart deployment/web && kubectl rollout status deployment/web --timeout=150s` succeeds
    Then `kubectl get pods -l app=web --field-selector=status.phase=Running -o jsonpath='{.items[*].spec.nodeName}'` prints "minion-2 minion-2"
    When `kubectl taint node minion-1 for-` succeeds
    And `kubectl create pdb web --selector=app=web --min-available=2` succeeds
    Then `kubectl get pdb web` prints a line like "^web +2 +N/A +0 "
    And `kubectl drain minion-2 --ignore-daemonsets --delete-emptydir-data --timeout=3s 2>&1; kubectl uncordon minion-2` prints "Cannot evict pod as it would violate the pod's disruption budget."
    When `kubectl patch pdb web -p '{"spec":{"minAvailable":1}}' && kubectl wait pdb/web --for=jsonpath={.status.disruptionsAllowed}=1 --timeout=60s && kubectl drain minion-2 --ignore-daemonsets --delete-emptydir-data --force --timeout=80s` succeeds
    And `kubectl uncordon minion-2` succeeds
    Then 2 pods with label "app=web" are running and ready
    And the pods with label "app=web" run on 1 nodes

  Scenario: apply with prune, kustomize, diff and replace
    When `mkdir -p all && printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {set: one}}\n' > all/a.yaml && sed s/a,/b,/ all/a.yaml > all/b.yaml && kubectl apply -f all -l set=one --prune` succeeds
    And `rm all/b.yaml && kubectl apply -f all -l set=one --prune --prune-allowlist=core/v1/ConfigMap` succeeds
    Then `kubectl get configmap -l set=one -o name` prints:
      """
      configmap/a
      """
    When `mkdir -p k && cp all/a.yaml k/ && printf 'resources: [a.yaml]\nnamePrefix: my-\nlabels: [{pairs: {made: kustomize}}]\n' > k/kustomization.yaml && kubectl apply -k k` succeeds
    Then `kubectl get configmap -l made=kustomize -o name` prints "configmap/my-a"
    And `kubectl kustomize k` prints "name: my-a"
    And `sed -i 's/my-/your-/' k/kustomization.yaml; kubectl diff -k k` fails with "your-a"
    When `kubectl get configmap a -o yaml | sed 's/set: one/set: two/' | kubectl replace -f - && kubectl replace --force -f all/a.yaml` succeeds
    Then `kubectl get configmap a --show-labels` prints "set=one"
    And `kubectl delete -f all --dry-run=server` prints a line like "^configmap .a. deleted"

  Scenario: events and describe show a pod's history
    Given 2 pods with label "app=web" are running and ready
    Then `kubectl events --types=Normal` prints "SuccessfulCreate"
    And `kubectl describe $(kubectl get pod -l app=web -o name | head -1)` prints a line like "Normal +Scheduled +.* default-scheduler +Successfully assigned "
    And `kubectl describe $(kubectl get pod -l app=web -o name | head -1)` prints a line like "Normal +Pulled +.* kubelet.* +Container image .askcarter/monolith:1.0.0. already present"
    And `kubectl describe $(kubectl get pod -l app=web -o name | head -1)` prints a line like "Normal +Created +.* kubelet"
    And `kubectl describe $(kubectl get pod -l app=web -o name | head -1)` prints a line like "Normal +Started +.* kubelet"
    And `kubectl describe rs -l app=web` prints a line like "Normal +SuccessfulCreate +.* replicaset-controller +Created pod: web-"
    And `kubectl describe deployment web` prints a line like "Normal +ScalingReplicaSet +.* deployment-controller +Scaled up replica set web-[a-z0-9]+ from 0 to 2"
    When `kubectl delete pod -l app=web --wait=false` succeeds
    Then `kubectl events` prints a line like "Killing +Pod/web-.* +Stopping container web"

  Scenario: rights, tokens and certificates
    When `kubectl create serviceaccount reader && kubectl create role reader --verb=get,list --resource=pods && kubectl create rolebinding reader --role=reader --serviceaccount=$NAMESPACE:reader` succeeds
    Then `kubectl auth can-i list pods --as=system:serviceaccount:$NAMESPACE:reader` prints "yes"
    And `kubectl auth can-i delete pods --as=system:serviceaccount:$NAMESPACE:reader` fails with "no"
    And `server=$(kubectl config view --minify -o jsonpath={.clusters[0].cluster.server}) token=$(kubectl create token reader); KUBECONFIG=/dev/null kubectl --server=$server --insecure-skip-tls-verify --token=$token auth whoami` prints "system:serviceaccount:"
    And `curl -sk -H "Authorization: Bearer $(kubectl create token reader --duration=10m)" $(kubectl config view --minify -o jsonpath={.clusters[0].cluster.server})/api/v1/namespaces/$NAMESPACE/pods` prints "PodList"
    When `openssl req -new -newkey rsa:2048 -nodes -keyout ann.key -subj /CN=ann -out ann.csr 2>/dev/null && printf 'apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {name: ann-%s}\nspec: {request: %s, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}\n' $NAMESPACE $(base64 -w0 ann.csr) | kubectl create -f - && kubectl certificate approve ann-$NAMESPACE` succeeds
    Then `kubectl get csr ann-$NAMESPACE` prints "Approved,Issued"
    And `kubectl get csr ann-$NAMESPACE -o jsonpath={.status.certificate} | base64 -d | openssl x509 -noout -subject` prints "CN = ann"

  Scenario: a token in a secret, as texts of before 1.24 use it
    When `kubectl create serviceaccount robot && kubectl create rolebinding robot --clusterrole=view --serviceaccount=$NAMESPACE:robot && printf 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: robot-token\n  annotations: {kubernetes.io/service-account.name: robot}\ntype: kubernetes.io/service-account-token\n' | kubectl create -f -` succeeds
    Then `kubectl describe secret robot-token` prints a line like "^token: +eyJ"
    And `kubectl describe secret robot-token` prints a line like "^Annotations: +kubernetes.io/service-account.name: robot"
    And `kubectl describe secret robot-token` prints a line like "kubernetes.io/service-account.uid: [0-9a-f-]{36}$"
    And `kubectl describe secret robot-token` prints a line like "^ca.crt: +[0-9]+ bytes"
    And `curl -sk -H "Authorization: Bearer $(kubectl get secret robot-token -o jsonpath={.data.token} | base64 -d)" $(kubectl config view --minify -o jsonpath={.clusters[0].cluster.server})/api/v1/namespaces/$NAMESPACE/pods` prints "PodList"
    And `kubectl get secret robot-token -L kubernetes.io/legacy-token-last-used` prints a line like "^robot-token +kubernetes.io/service-account-token +3 +[0-9a-z]+ +20[0-9-]+$"
    When `kubectl get secret robot-token -o jsonpath={.data.token} | base64 -d >token && kubectl delete serviceaccount robot` succeeds
    Then `kubectl get secret robot-token` fails with "NotFound"
    And `curl -sk -H "Authorization: Bearer $(cat token)" $(kubectl config view --minify -o jsonpath={.clusters[0].cluster.server})/api/v1/namespaces/$NAMESPACE/pods` prints "Unauthorized"

  Scenario: proxy, and a debugger beside a container
    Given 2 pods with label "app=web" are running and ready
    Then `kubectl proxy --port=18395 >/dev/null & p=$!; for i in $(seq 30); do curl -s localhost:18395/api/v1/namespaces/$NAMESPACE/pods && break; sleep 0.1; done; kill $p` prints "PodList"
    When `kubectl debug $(kubectl get pod -l app=web -o name | head -1) --image=busybox:1.35 --target=web -c look -- sh -c 'ls /proc/1/root/; ps; sleep 600'` succeeds
    Then `kubectl logs $(kubectl get pod -l app=web -o name | head -1) -c look` prints "monolith"
    And `kubectl describe $(kubectl get pod -l app=web -o name | head -1)` prints "Ephemeral Containers:"

Feature: Pods
  What a node makes of a pod.

  @M2 @N3
  Scenario: containers of a pod share the network, the volumes and the address
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: two
      spec:
        terminationGracePeriodSeconds: 1
        containers:
        - name: web
          image: nginx
          volumeMounts:
          - {name: pages, mountPath: /usr/share/nginx/html}
        - name: writer
          image: busybox:1.35
          command: ["sh", "-c", "echo from-the-writer > /pages/index.html; exec sleep 3600"]
          volumeMounts:
          - {name: pages, mountPath: /pages}
        volumes:
        - name: pages
          emptyDir: {}
      """
    Then pod "two" is running and ready
    And port 80 of pod "two" answers "/" with "from-the-writer"
    And `kubectl exec two -c writer -- wget -q -O - http://localhost/` prints "from-the-writer"
    And `kubectl get pod two` prints a line like "^two +2/2 +Running +0 "

  @W8
  Scenario Outline: a container that ends with <code> under <policy> leaves the pod <phase>
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: one
      spec:
        terminationGracePeriodSeconds: 1
        restartPolicy: <policy>
        containers:
        - name: a
          image: busybox:1.35
          command: ["sh", "-c", "[ -e /state/ran ] && exec sleep 3600; touch /state/ran; exit <code>"]
          volumeMounts:
          - {name: state, mountPath: /state}
        volumes:
        - name: state
          emptyDir: {}
      """
    Then pod "one" is <phase>
    And pod "one" has restarted <restarts> times

    Examples:
      | code | policy    | phase     | restarts |
      | 0    | Always    | Running   | 1        |
      | 0    | OnFailure | Succeeded | 0        |
      | 0    | Never     | Succeeded | 0        |
      | 3    | Always    | Running   | 1        |
      | 3    | OnFailure | Running   | 1        |
      | 3    | Never     | Failed    | 0        |

  Scenario: a container has a restart policy of its own, and a rule that names an exit code
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: own
      spec:
        terminationGracePeriodSeconds: 1
        restartPolicy: Never
        containers:
        - name: again
          image: busybox:1.35
          command: ["sh", "-c", "[ -e /state/ran ] && exec sleep 3600; touch /state/ran; exit 42"]
          restartPolicy: Never
          restartPolicyRules:
          - action: Restart
            exitCodes: {operator: In, values: [42]}
          volumeMounts:
          - {name: state, mountPath: /state}
        - name: once
          image: busybox:1.35
          command: ["sh", "-c", "exit 42"]
        volumes:
        - name: state
          emptyDir: {}
      """
    Then `kubectl get pod own -o jsonpath='{range .status.containerStatuses[*]}{.name}={.restartCount},{.state.running.startedAt}{.state.terminated.exitCode}{"\n"}{end}'` prints a line like "^again=1,20"
    And `kubectl get pod own -o jsonpath='{range .status.containerStatuses[*]}{.name}={.restartCount},{.state.running.startedAt}{.state.terminated.exitCode}{"\n"}{end}'` prints a line like "^once=0,42$"
    And pod "own" is Running

  @W8
  Scenario Outline: one of two containers fails under <policy>
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: pair
      spec:
        terminationGracePeriodSeconds: 1
        restartPolicy: <policy>
        containers:
        - name: a
          image: busybox:1.35
          command: ["sh", "-c", "[ -e /state/a ] && exec sleep 3600; touch /state/a; exit 3"]
          volumeMounts:
          - {name: state, mountPath: /state}
        - name: b
          image: busybox:1.35
          command: ["sh", "-c", "until [ -e /state/end ]; do sleep 0.1; done; [ -e /state/b ] && exec sleep 3600; touch /state/b; exit 3"]
          volumeMounts:
          - {name: state, mountPath: /state}
        volumes:
        - name: state
          emptyDir: {}
      """
    Then pod "pair" is Running
    And pod "pair" has restarted <first> times
    And `kubectl get pod pair -o jsonpath={.status.containerStatuses[*].restartCount}{.status.containerStatuses[0].state}` prints "<state>"
    When `kubectl exec pair -c b -- touch /state/end` succeeds
    Then pod "pair" is <phase>
    And pod "pair" has restarted <both> times

    Examples:
      | policy    | first | state      | phase   | both |
      | Always    | 1     | running    | Running | 2    |
      | OnFailure | 1     | running    | Running | 2    |
      | Never     | 0     | terminated | Failed  | 0    |

  @W7 @N8
  Scenario: a pod takes work while it is ready, and is restarted when it is not alive
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata:
          name: probed
          labels: {app: probed}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - name: web
            image: nginx
            ports:
            - {containerPort: 80}
            readinessProbe:
              httpGet: {path: /ready.html, port: 80}
              periodSeconds: 1
              failureThreshold: 1
            livenessProbe:
              exec: {command: ["test", "!", "-e", "/tmp/dead"]}
              timeoutSeconds: 10
              periodSeconds: 1
              failureThreshold: 2
            startupProbe:
              tcpSocket: {port: 80}
              periodSeconds: 1
      - apiVersion: v1
        kind: Service
        metadata:
          name: probed
        spec:
          selector: {app: probed}
          ports:
          - {port: 80}
      """
    Then pod "probed" is Running
    And `kubectl describe pod probed` prints "Readiness probe failed: HTTP probe failed with statuscode: 404"
    And service "probed" has no endpoints
    When `kubectl exec probed -- touch /usr/share/nginx/html/ready.html` succeeds
    Then pod "probed" is running and ready
    And service "probed" has as endpoints the 1 ready pods with label "app=probed"
    When `kubectl exec probed -- touch /tmp/dead` succeeds
    Then pod "probed" has restarted 1 times
    And `kubectl describe pod probed` prints "Liveness probe failed"

  @W10
  Scenario: what a container writes to its termination log is shown
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: lastwords
      spec:
        restartPolicy: Never
        containers:
        - name: a
          image: busybox:1.35
          command: ["sh", "-c", "echo no disk left > /dev/termination-log; exit 2"]
      """
    Then pod "lastwords" is Failed
    And `kubectl get pod lastwords -o jsonpath={.status.containerStatuses[0].state.terminated.message}` prints "no disk left"
    And `kubectl describe pod lastwords` prints:
      """
      State: Terminated
      Reason: Error
      Message: no disk left
      Exit Code: 2
      """

  @M4
  Scenario: secrets and config maps are there before the container starts
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata:
          name: reader
        spec:
          restartPolicy: Never
          containers:
          - name: a
            image: busybox:1.35
            command: ["sh", "-c", "echo $(MODE)-$PASSWORD-$(cat /config/colour)-$(cat /tls/key)"]
            env:
            - {name: MODE, valueFrom: {configMapKeyRef: {name: settings, key: mode}}}
            - {name: PASSWORD, valueFrom: {secretKeyRef: {name: secrets, key: password}}}
            volumeMounts:
            - {name: config, mountPath: /config}
            - {name: tls, mountPath: /tls}
          volumes:
          - name: config
            configMap: {name: settings}
          - name: tls
            secret: {secretName: secrets}
      """
    Then pod "reader" is Pending
    When `kubectl create configmap settings --from-literal=mode=fast --from-literal=colour=green` succeeds
    And `kubectl create secret generic secrets --from-literal=password=s3cret --from-literal=key=pem` succeeds
    Then pod "reader" is Succeeded
    And `kubectl logs reader` prints "fast-s3cret-green-pem"

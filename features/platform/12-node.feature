Feature: What a node does for its containers
  Hooks, volumes that change, limits, images that cannot be had, and nothing left afterwards.

  @W8
  Scenario: hooks run after the start and before the end
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata:
          name: hooked
        spec:
          terminationGracePeriodSeconds: 20
          containers:
          - name: a
            image: busybox:1.35
            command: ["sh", "-c", "trap 'echo TERM >> /state/log; exit 0' TERM; while true; do sleep 0.1; done"]
            lifecycle:
              postStart:
                exec: {command: ["sh", "-c", "echo started >> /state/log"]}
              preStop:
                exec: {command: ["sh", "-c", "sleep 1; echo preStop >> /state/log"]}
            volumeMounts:
            - {name: state, mountPath: /state}
          volumes:
          - name: state
            hostPath: {path: /hooks}
          nodeName: minion-1
      - apiVersion: v1
        kind: Pod
        metadata:
          name: asked
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - name: web # listens by the time that the next container has started: a hook asks once
            image: b.gcr.io/kuar/inspector:1.0.0
          - name: asks
            image: busybox:1.35
            command: ["sleep", "3600"]
            lifecycle:
              postStart:
                httpGet: {path: /net, port: 80}
      - apiVersion: v1
        kind: Pod
        metadata:
          name: unhooked
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - name: a
            image: busybox:1.35
            command: ["sleep", "3600"]
            lifecycle:
              postStart:
                exec: {command: ["sh", "-c", "echo no such luck; exit 3"]}
      """
    Then pod "hooked" is running and ready
    And `kubectl exec hooked -- cat /state/log` prints "started"
    And pod "asked" is running and ready
    And `kubectl get pod unhooked` prints "CrashLoopBackOff"
    And `kubectl get events --field-selector involvedObject.name=unhooked` prints a line like "FailedPostStartHook.*exited with 3: no such luck"
    When `kubectl delete pod hooked --timeout=60s` succeeds
    Then `tr '\n' ' ' < /var/lib/wheelhouse/$WHEELHOUSE_CLUSTER/nodes/minion-1/disk/hooks/log` prints "started preStop TERM"

  @M4
  Scenario: mounted config maps, secrets and labels follow their change
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: ConfigMap
        metadata: {name: settings}
        data: {colour: green}
      - apiVersion: v1
        kind: Secret
        metadata: {name: secrets}
        stringData: {password: old}
      - apiVersion: v1
        kind: Pod
        metadata:
          name: follower
          labels: {tier: front}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - name: a
            image: busybox:1.35
            command: ["sleep", "3600"]
            env:
            - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
            - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
            - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
            resources: {limits: {memory: 128Mi, cpu: 500m}}
            volumeMounts:
            - {name: config, mountPath: /config}
            - {name: secret, mountPath: /secret}
            - {name: about, mountPath: /about}
          volumes:
          - name: config
            configMap: {name: settings}
          - name: secret
            secret: {secretName: secrets}
          - name: about
            downwardAPI:
              items:
              - {path: labels, fieldRef: {fieldPath: metadata.labels}}
      """
    Then pod "follower" is running and ready
    And in pod "follower" `cat /config/colour /secret/password` prints "greenold"
    And in pod "follower" `echo $NODE $MEMORY` prints "minion-"
    And in pod "follower" `hostname -i | grep -w $IP && echo $MEMORY` prints "128"
    And in pod "follower" `cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max` prints "134217728"
    And in pod "follower" `cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us || cat /sys/fs/cgroup/cpu.max` prints "50000"
    When `kubectl patch configmap settings -p '{"data":{"colour":"blue"}}' && kubectl patch secret secrets -p '{"stringData":{"password":"new"}}'` succeeds
    And `kubectl label pod follower tier=back --overwrite` succeeds
    Then in pod "follower" `cat /config/colour /secret/password` prints "bluenew"
    And in pod "follower" `grep back /about/labels` prints "tier="

  @N3
  Scenario: a pod speaks to the API server with the token that it is given
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: caller
      spec:
        terminationGracePeriodSeconds: 1
        containers:
        - name: web
          image: nginx
      """
    Then pod "caller" is running and ready
    And in pod "caller" `cd /var/run/secrets/kubernetes.io/serviceaccount && curl -s --cacert ca.crt -H "Authorization: Bearer $(cat token)" https://kubernetes.default/api/v1/namespaces/$(cat namespace)/pods` prints "system:serviceaccount:"
    When `kubectl create rolebinding sees --clusterrole=view --serviceaccount=$NAMESPACE:default` succeeds
    Then in pod "caller" `cd /var/run/secrets/kubernetes.io/serviceaccount && curl -s --cacert ca.crt -H "Authorization: Bearer $(cat token)" https://kubernetes.default/api/v1/namespaces/$(cat namespace)/pods` prints "PodList"

  @W8 @W9
  Scenario: what goes wrong with an image or a container is said where people look
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: never}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - {name: a, image: nosuch.invalid/image:1, imagePullPolicy: Never}
      - apiVersion: v1
        kind: Pod
        metadata: {name: absent}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - {name: a, image: "nosuch.invalid/image:1"}
      - apiVersion: v1
        kind: Pod
        metadata: {name: greedy}
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: 1
          containers:
          - name: a
            image: busybox:1.35
            command: ["sh", "-c", "sleep 2; exec tail /dev/zero"]
            resources: {limits: {memory: 16Mi}}
      - apiVersion: v1
        kind: Pod
        metadata: {name: loop}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - {name: a, image: "busybox:1.35", command: ["sh", "-c", "echo bye; exit 4"]}
      """
    Then `kubectl get pod loop -o jsonpath={.status.containerStatuses[0].state.waiting.message}` prints "back-off 20s"
    And `kubectl get pod never` prints "ErrImageNeverPull"
    And `kubectl describe pod never` prints "is not present with pull policy of Never"
    And `kubectl get pod absent` prints "ImagePullBackOff"
    And `kubectl describe pod absent` prints a line like "Warning +Failed .*Failed to pull image .nosuch.invalid/image:1.: "
    And `kubectl logs absent` fails with "trying and failing to pull image"
    And `kubectl get pod greedy` prints a line like "^greedy +0/1 +OOMKilled +0 "
    And `kubectl get pod loop` prints a line like "^loop +0/1 +CrashLoopBackOff +[1-9]"
    And `kubectl describe pod loop` prints "Back-off restarting failed container a in pod loop_"
    And `kubectl logs loop --previous` prints "bye"

  @M2
  Scenario: nothing of a deleted pod is left on the machine
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata:
        name: gone
      spec:
        terminationGracePeriodSeconds: 1
        containers:
        - name: a
          image: busybox:1.35
          command: ["sleep", "3600"]
          volumeMounts:
          - {name: memory, mountPath: /memory}
        volumes:
        - name: memory
          emptyDir: {medium: Memory}
      """
    Then pod "gone" is running and ready
    When `kubectl get pod gone -o jsonpath={.metadata.uid} > uid && grep -q $(cat uid) /proc/mounts && [ -n "$(docker ps -q --filter label=io.kubernetes.pod.uid=$(cat uid))" ]` succeeds
    And `kubectl delete pod gone --timeout=60s` succeeds
    Then `docker ps -aq --filter label=io.kubernetes.pod.uid=$(cat uid); grep $(cat uid) /proc/mounts; find /var/lib/wheelhouse/$WHEELHOUSE_CLUSTER/nodes /sys/fs/cgroup -name "*$(cat uid)*"; true` prints nothing

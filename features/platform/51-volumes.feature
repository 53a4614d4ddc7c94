Feature: Volumes
  What the documents show of volumes holds also where a node is a directory of this machine.

  @W12
  Scenario: a claim of 2015 finds the volume that a person made, though there is a default class
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: PersistentVolumeClaim
        metadata: {name: myclaim}
        spec:
          accessModes: [ReadWriteOnce]
          resources: {requests: {storage: 1Gi}}
      - apiVersion: v1
        kind: PersistentVolume
        metadata: {name: made-by-hand}
        spec:
          capacity: {storage: 1Gi}
          accessModes: [ReadWriteOnce]
          hostPath: {path: /tmp/made-by-hand}
      """
    Then claim "myclaim" is bound to volume "made-by-hand"
    And `kubectl patch pvc myclaim -p '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}'` fails with "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
    When `kubectl delete pvc myclaim --timeout=60s` succeeds
    Then `kubectl get pv made-by-hand` prints a line like "^made-by-hand +1Gi +RWO +Retain +Released "
    And `kubectl delete pv made-by-hand --timeout=60s` succeeds

  @W12
  Scenario: a link on a node's disk leads where it would on a machine, and a local volume is its group's
    Given the objects:
      """
      apiVersion: v1
      kind: Pod
      metadata: {name: linker}
      spec:
        nodeName: minion-1
        terminationGracePeriodSeconds: 1
        containers:
        - name: a
          image: busybox:1.35
          command: ["sh", "-c", "mkdir -p /disk/linked && echo there > /disk/linked/file && ln -sfn /tmp/linked /disk/link && exec sleep 3600"]
          volumeMounts: [{name: tmp, mountPath: /disk}]
        volumes:
        - {name: tmp, hostPath: {path: /tmp}}
      """
    Then pod "linker" is running and ready
    When the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: PersistentVolume
        metadata: {name: local-there}
        spec:
          capacity: {storage: 1Gi}
          accessModes: [ReadWriteOnce]
          storageClassName: local-by-hand
          local: {path: /tmp/link}
          nodeAffinity:
            required:
              nodeSelectorTerms:
              - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [minion-1]}]
      - apiVersion: v1
        kind: PersistentVolumeClaim
        metadata: {name: there}
        spec:
          accessModes: [ReadWriteOnce]
          storageClassName: local-by-hand
          volumeName: local-there
          resources: {requests: {storage: 1Gi}}
      - apiVersion: v1
        kind: Pod
        metadata: {name: group}
        spec:
          terminationGracePeriodSeconds: 1
          securityContext: {runAsUser: 1000, fsGroup: 1234}
          containers:
          - name: a
            image: busybox:1.35
            command: ["sleep", "3600"]
            volumeMounts: [{name: v, mountPath: /v}]
          volumes:
          - {name: v, persistentVolumeClaim: {claimName: there}}
      """
    Then pod "group" is running and ready
    And in pod "group" `stat -c %g:%a /v /v/file && cat /v/file && touch /v/mine` prints "there"
    And in pod "group" `stat -c %g:%a /v/file` prints "1234:664"
    And in pod "linker" `ls /disk/linked` prints "mine"
    When `kubectl delete pod group linker --timeout=60s && kubectl delete pvc there --timeout=60s && kubectl delete pv local-there --timeout=60s` succeeds
    Then `kubectl get pv local-there` fails with "not found"

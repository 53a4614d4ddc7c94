Feature: Volumes and quotas, as the documents list them
  What a pod may mount here, what it may not and which error it gets, and what a quota counts.

  @W12
  Scenario: the kinds of volumes that a node has
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
        stringData: {password: s3cret}
      - apiVersion: v1
        kind: PersistentVolumeClaim
        metadata: {name: disk}
        spec:
          accessModes: [ReadWriteOnce]
          resources: {requests: {storage: 10Mi}}
      - apiVersion: v1
        kind: Pod
        metadata: {name: mounts}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - name: a
            image: busybox:1.35
            command: ["sh", "-c", "echo kept > /claim/a; echo here > /empty/a; echo there > /host/a; exec sleep 3600"]
            volumeMounts:
            - {name: empty, mountPath: /empty}
            - {name: host, mountPath: /host}
            - {name: secret, mountPath: /secret}
            - {name: config, mountPath: /config}
            - {name: claim, mountPath: /claim}
          volumes:
          - {name: empty, emptyDir: {}}
          - {name: host, hostPath: {path: /documents}}
          - {name: secret, secret: {secretName: secrets}}
          - {name: config, configMap: {name: settings}}
          - {name: claim, persistentVolumeClaim: {claimName: disk}}
      """
    Then pod "mounts" is running and ready
    And in pod "mounts" `cat /empty/a /host/a /claim/a /secret/password /config/colour | tr '\n' ' '` prints "here there kept s3cretgreen"
    And `kubectl get pvc disk` prints a line like "^disk +Bound "
    And `kubectl describe pod mounts` prints:
      """
      Volumes:
      Type: EmptyDir
      Type: HostPath
      Type: Secret
      Type: ConfigMap
      Type: PersistentVolumeClaim
      """

  @W12
  Scenario: volumes that need a cloud, or a missing server, are reported
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: v1
        kind: Pod
        metadata: {name: gce}
        spec:
          terminationGracePeriodSeconds: 1
          containers: [{name: a, image: "busybox:1.35", volumeMounts: [{name: v, mountPath: /v}]}]
          volumes: [{name: v, gcePersistentDisk: {pdName: my-disk, fsType: ext4}}]
      - apiVersion: v1
        kind: Pod
        metadata: {name: aws}
        spec:
          terminationGracePeriodSeconds: 1
          containers: [{name: a, image: "busybox:1.35", volumeMounts: [{name: v, mountPath: /v}]}]
          volumes: [{name: v, awsElasticBlockStore: {volumeID: vol-1, fsType: ext4}}]
      - apiVersion: v1
        kind: Pod
        metadata: {name: gluster}
        spec:
          terminationGracePeriodSeconds: 1
          containers: [{name: a, image: "busybox:1.35", volumeMounts: [{name: v, mountPath: /v}]}]
          volumes: [{name: v, glusterfs: {endpoints: glusterfs-cluster, path: kube_vol}}]
      - apiVersion: v1
        kind: Pod
        metadata: {name: remote}
        spec:
          terminationGracePeriodSeconds: 1
          containers: [{name: a, image: "busybox:1.35", volumeMounts: [{name: v, mountPath: /v}]}]
          volumes: [{name: v, nfs: {server: my.nfs.server.local, path: /exports}}]
      """
    Then `kubectl describe pod gce` prints a line like "Warning +FailedMount .*volumes of kind gcePersistentDisk are not supported on this node"
    And `kubectl describe pod aws` prints a line like "Warning +FailedMount .*volumes of kind awsElasticBlockStore are not supported on this node"
    And `kubectl describe pod gluster` prints a line like "Warning +FailedMount .*volumes of kind glusterfs are not supported on this node"
    And `kubectl describe pod remote` prints a line like "Warning +FailedMount .*MountVolume.SetUp failed for volume .v. : "
    And `kubectl get pods` prints:
      """
      aws 0/1 ContainerCreating 0
      gce 0/1 ContainerCreating 0
      gluster 0/1 ContainerCreating 0
      remote 0/1 ContainerCreating 0
      """
    When `kubectl delete pods --all --timeout=60s` succeeds
    Then `kubectl get pods -o name` prints nothing

  @W17
  Scenario: a quota counts pods, services, controllers, processors and memory
    Given the objects:
      """
      apiVersion: v1
      kind: ResourceQuota
      metadata: {name: quota}
      spec:
        hard: {pods: "2", services: "1", replicationcontrollers: "1", cpu: "1", memory: 256Mi}
      """
    # A quota is enforced from when its status says so.
    And `kubectl get resourcequota quota -o jsonpath={.status.hard}` prints "services"
    When `kubectl create service clusterip one --tcp=80` succeeds
    Then `kubectl create service clusterip two --tcp=80` fails with "exceeded quota: quota, requested: services=1, used: services=1, limited: services=1"
    And `kubectl run unsaid --image=busybox:1.35` fails with "failed quota: quota: must specify cpu for: unsaid; memory for: unsaid"
    When `printf 'apiVersion: v1\nkind: ReplicationController\nmetadata: {name: rc}\nspec:\n  replicas: 2\n  selector: {a: b}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n      - {name: c, image: "busybox:1.35", command: [sleep, "3600"], resources: {limits: {cpu: 600m, memory: 64Mi}}}\n' > rc.yaml && kubectl create -f rc.yaml` succeeds
    Then `sed 's/name: rc/name: second/' rc.yaml | kubectl create -f -` fails with "exceeded quota: quota, requested: replicationcontrollers=1, used: replicationcontrollers=1, limited: replicationcontrollers=1"
    And 1 pod with label "a=b" is running and ready
    And `kubectl describe rc rc` prints "exceeded quota: quota, requested: cpu=600m, used: cpu=600m, limited: cpu=1"
    And `kubectl describe quota quota` prints:
      """
      Resource Used Hard
      cpu 600m 1
      memory 64Mi 256Mi
      pods 1 2
      replicationcontrollers 1 1
      services 1 1
      """
    When `kubectl delete rc rc && kubectl delete service one` succeeds
    Then `kubectl get quota quota -o jsonpath={.status.used}` prints a line like "pods.:.0.*services.:.0"

  @W18 @W11
  Scenario: the template of 2015, and the verb that is gone
    Given the objects:
      """
      apiVersion: v1
      kind: Service
      metadata: {name: inspector}
      spec:
        type: NodePort
        selector: {app: inspector}
        ports: [{name: http, nodePort: 31500, port: 80, protocol: TCP}]
      """
    Then `kubectl get svc/inspector -o template -t "{{.spec.ports}}"` prints a line like "^\[map\[name:http nodePort:31500 port:80 protocol:TCP targetPort:80\]\]"
    And `kubectl get svc/inspector -o go-template="{{.spec.ports}}"` prints a line like "^\[map\[name:http nodePort:31500 "
    When `kubectl stop svc/inspector` succeeds
    Then `kubectl get svc/inspector` fails with "NotFound"

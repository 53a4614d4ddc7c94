Feature: Jobs and cron jobs
  Work that ends, and says how.

  @M7
  Scenario: a job completes
    When `kubectl create job pi --image=busybox:1.35 -- echo 3.14159` succeeds
    Then `kubectl wait --for=condition=complete job/pi --timeout=60s` prints "condition met"
    And `kubectl get job pi` prints a line like "^pi +Complete +1/1 "
    And `kubectl logs job/pi` prints "3.14159"
    And `kubectl describe job pi` prints:
      """
      Completion Mode:  NonIndexed
      Pods Statuses: 0 Active (0 Ready) / 1 Succeeded / 0 Failed
      Normal SuccessfulCreate
      Normal Completed
      """
    And `kubectl get pods -l job-name=pi -o jsonpath={.items[*].metadata.finalizers}` prints nothing
    When `kubectl delete job pi` succeeds
    Then no pod with label "job-name=pi" is left

  @M7
  Scenario: a job of several pods at once, each knowing its number
    Given the objects:
      """
      apiVersion: batch/v1
      kind: Job
      metadata:
        name: parts
      spec:
        completions: 4
        parallelism: 2
        completionMode: Indexed
        template:
          spec:
            restartPolicy: Never
            containers:
            - name: part
              image: busybox:1.35
              command: ["sh", "-c", "echo part $JOB_COMPLETION_INDEX on $(cat /etc/hostname)"]
      """
    Then `kubectl get job parts` prints a line like "^parts +Complete +4/4 "
    And `kubectl get job parts -o jsonpath={.status.completedIndexes}` prints "0-3"
    And `kubectl logs -l batch.kubernetes.io/job-completion-index=3` prints "part 3 on parts-3"

  @M7
  Scenario: a job that can never succeed says why
    Given the objects:
      """
      apiVersion: v1
      kind: List
      items:
      - apiVersion: batch/v1
        kind: Job
        metadata:
          name: hopeless
        spec:
          backoffLimit: 1
          template:
            spec:
              restartPolicy: Never
              containers:
              - name: c
                image: busybox:1.35
                command: ["sh", "-c", "echo no such data; exit 3"]
      - apiVersion: batch/v1
        kind: Job
        metadata:
          name: late
        spec:
          activeDeadlineSeconds: 2
          template:
            spec:
              restartPolicy: Never
              terminationGracePeriodSeconds: 1
              containers:
              - name: c
                image: busybox:1.35
                command: ["sleep", "3600"]
      - apiVersion: batch/v1
        kind: Job
        metadata:
          name: broken
        spec:
          backoffLimit: 6
          podFailurePolicy:
            rules:
            - action: FailJob
              onExitCodes: {containerName: c, operator: In, values: [42]}
          template:
            spec:
              restartPolicy: Never
              containers:
              - name: c
                image: busybox:1.35
                command: ["sh", "-c", "exit 42"]
      """
    Then `kubectl describe job broken` prints "Container c for pod"
    And `kubectl describe job broken` prints "failed with exit code 42 matching FailJob rule at index 0"
    And `kubectl get job broken -o jsonpath={.status.conditions[*].reason}` prints "PodFailurePolicy PodFailurePolicy"
    And `kubectl get job late` prints a line like "^late +Failed +0/1 "
    And `kubectl describe job late` prints "Job was active longer than specified deadline"
    And no pod with label "job-name=late" is left
    And `kubectl get job hopeless` prints a line like "^hopeless +Failed +0/1 "
    And `kubectl describe job hopeless` prints "Job has reached the specified backoff limit"
    And `kubectl get job hopeless -o jsonpath={.status.failed}` prints "2"
    And `kubectl logs job/hopeless` prints "no such data"

  @M7 @W17
  Scenario: a job whose pods no quota allows says why
    Given the objects:
      """
      apiVersion: v1
      kind: ResourceQuota
      metadata:
        name: few
      spec:
        hard: {requests.cpu: "1"}
      """
    # A quota is enforced from when its status says so.
    And `kubectl get resourcequota few -o jsonpath={.status.hard}` prints "requests.cpu"
    And the objects:
      """
      apiVersion: batch/v1
      kind: Job
      metadata:
        name: greedy
      spec:
        template:
          spec:
            restartPolicy: Never
            containers:
            - name: c
              image: busybox:1.35
              command: ["true"]
              resources:
                requests: {cpu: "2"}
      """
    Then `kubectl describe job greedy` prints "exceeded quota: few, requested: requests.cpu=2, used: requests.cpu=0, limited: requests.cpu=1"
    And `kubectl get job greedy` prints a line like "^greedy +Running +0/1 "

  @M7
  Scenario: an index may fail while the others go on
    Given the objects:
      """
      apiVersion: batch/v1
      kind: Job
      metadata:
        name: some
      spec:
        completions: 3
        parallelism: 3
        completionMode: Indexed
        backoffLimitPerIndex: 0
        template:
          spec:
            restartPolicy: Never
            containers:
            - name: c
              image: busybox:1.35
              command: ["sh", "-c", "[ $JOB_COMPLETION_INDEX != 1 ]"]
      """
    Then `kubectl get job some` prints a line like "^some +Failed +2/3 "
    And `kubectl get job some -o jsonpath={.status.completedIndexes}:{.status.failedIndexes}:{.status.conditions[-1].reason}` prints "0,2:1:FailedIndexes"

  @M7
  Scenario: a job is suspended, resumed, and goes when its time is over
    Given the objects:
      """
      apiVersion: batch/v1
      kind: Job
      metadata:
        name: later
      spec:
        suspend: true
        ttlSecondsAfterFinished: 1
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 1
            containers:
            - name: c
              image: busybox:1.35
              command: ["sleep", "10"]
      """
    Then `kubectl get job later` prints a line like "^later +Suspended +0/1 "
    And no pod with label "job-name=later" is left
    When `kubectl patch job later -p '{"spec":{"suspend":false}}'` succeeds
    Then `kubectl get job later` prints a line like "^later +Running +0/1 "
    And `kubectl get events --field-selector=involvedObject.name=later` prints "Job resumed"
    And `kubectl get job --ignore-not-found later` prints nothing
    And no pod with label "job-name=later" is left

  @M7
  Scenario: a pod that somebody deletes has failed when it has ended, and is replaced
    Given the objects:
      """
      apiVersion: batch/v1
      kind: Job
      metadata:
        name: robbed
      spec:
        podReplacementPolicy: Failed
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 1
            containers:
            - name: c
              image: busybox:1.35
              command: ["sleep", "3600"]
      """
    Then 1 pod with label "job-name=robbed" is running and ready
    When `kubectl delete pod -l job-name=robbed` succeeds
    Then `kubectl get job robbed -o jsonpath={.status.failed}` prints "1"
    And 1 pod with label "job-name=robbed" is running and ready

  @M7
  Scenario: a job counts each pod once, though the server is killed meanwhile
    Given the objects:
      """
      apiVersion: batch/v1
      kind: Job
      metadata:
        name: steady
      spec:
        completions: 12
        parallelism: 4
        template:
          spec:
            restartPolicy: Never
            containers:
            - name: c
              image: busybox:1.35
              command: ["sleep", "1"]
      """
    Then `kubectl get job steady` prints a line like "^steady +Running +[1-9]+/12 "
    When the server is killed
    And the cluster is brought up again
    Then `kubectl get job steady` prints a line like "^steady +Complete +12/12 "
    And `kubectl get pods -l job-name=steady --field-selector=status.phase=Succeeded --no-headers -o name | wc -l` prints "12"

  @M7
  Scenario: a cron job starts jobs by the clock, and when asked
    Given the objects:
      """
      apiVersion: batch/v1
      kind: CronJob
      metadata:
        name: tick
      spec:
        schedule: "@every 2s"
        successfulJobsHistoryLimit: 2
        jobTemplate:
          spec:
            template:
              spec:
                restartPolicy: Never
                containers:
                - name: c
                  image: busybox:1.35
                  command: ["echo", "tick"]
      """
    Then `kubectl describe cronjob tick` prints "SuccessfulCreate"
    And `kubectl describe cronjob tick` prints "SawCompletedJob"
    And `kubectl describe cronjob tick` prints "SuccessfulDelete"
    When `kubectl patch cronjob tick -p '{"spec":{"suspend":true}}'` succeeds
    Then `kubectl get cronjob tick` prints a line like "^tick +@every 2s +<none> +True +0 "
    And `kubectl get jobs --no-headers -o name | wc -l` prints "2"
    When `kubectl create job by-hand --from=cronjob/tick` succeeds
    Then `kubectl wait --for=condition=complete job/by-hand --timeout=60s` prints "condition met"
    And `kubectl logs job/by-hand` prints "tick"
    When `kubectl delete cronjob tick` succeeds
    Then `kubectl get jobs,pods -o name` prints nothing

  @M7
  Scenario: a cron job whose schedule makes no sense is refused
    Then `kubectl create cronjob x --image=busybox:1.35 --schedule='61 * * * *'` fails with "spec.schedule: Invalid value"

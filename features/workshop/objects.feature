Feature: Labels, lists and shared namespaces
  What labs/workshop/03-objects: each scenario holds at the point of the text that names it.

  @W16
  Scenario: one file has made three objects
    Then `kubectl get configmaps -l tier -o name` prints:
      """
      configmap/page-1
      configmap/page-2
      configmap/page-3
      """

  @W14
  Scenario: every page has a release, and one has an author
    Then `kubectl get configmaps -l 'tier,release in (stable, canary)' -o name | wc -l` prints a line like "^ *3$"
    And `kubectl get configmaps -l tier,release=canary -o name | wc -l` prints a line like "^ *2$"
    And `kubectl get configmaps -l 'tier,!release' -o name` prints nothing
    And `kubectl get configmaps -l 'tier notin (front),tier' -o name` prints "configmap/page-3"
    And `kubectl label configmap page-1 --overwrite --dry-run=server tier=-front` fails with "a valid label must be an empty string or consist of alphanumeric characters"
    And `kubectl get configmap page-1 -o jsonpath={.metadata.annotations.author}` prints "Dana D., room 4"

  @W10
  Scenario: the reason is in the pod's status
    Then pod "failing" is Failed
    And `kubectl get pod failing -o jsonpath='{.status.containerStatuses[0].state.terminated.message}'` prints "the disk is full"
    And `kubectl get pod failing -o jsonpath='{.status.containerStatuses[0].state.terminated.exitCode}'` prints "3"

  @N3
  Scenario: two containers share the network, IPC and processes
    Then pod "shared" is running and ready
    And `kubectl exec shared -c second -- wget -q -O - http://127.0.0.1:8080/` prints "from the first"
    And `kubectl exec shared -c second -- ps` prints "httpd -f -p 8080"
    And `[ "$(kubectl exec shared -c first -- readlink /proc/self/ns/ipc)" = "$(kubectl exec shared -c second -- readlink /proc/self/ns/ipc)" ] && echo one namespace` prints "one namespace"

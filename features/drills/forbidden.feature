Feature: A program without rights

  @N6
  Scenario: the API server refuses the counter
    Then pod "counter" is running and ready
    And `kubectl logs counter --tail=3` prints "cannot list resource"

  @N6
  Scenario: the counter may list the pods
    Then `kubectl auth can-i list pods --as=system:serviceaccount:$NAMESPACE:counter` prints "yes"
    And `kubectl logs counter --tail=3` prints "PodList"

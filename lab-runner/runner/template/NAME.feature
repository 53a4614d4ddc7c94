Feature: The lab NAME

  Scenario: the object is there
    Then `kubectl get configmap NAME -o name` prints "configmap/NAME"

  Scenario: the color is changed
    Then `kubectl get configmap NAME -o jsonpath={.data.color}` prints "green"

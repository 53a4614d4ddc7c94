Feature: A deletion that does not end

  @P3
  Scenario: the config map is deleted and still there
    Then `kubectl get configmap ledger -o jsonpath={.metadata.deletionTimestamp}` prints a line like "^20[0-9-]+T"

  @P3
  Scenario: the new ledger is there
    Then `kubectl get configmap ledger -o jsonpath={.data.page},{.metadata.finalizers}` prints "2,"

Feature: A class
  One process beside the cluster serves a room: each learner has a workbench with a shell, and the instructor sees where they are.

  Scenario: two learners work apart, and the end of the process loses nothing
    Given a class is served that offers lab "workshop/inspector"
    When "Ada" joins the class
    And "Bob" joins the class
    Then in the terminal of "Ada" `kubectl get pods` prints "No resources found in learner-"
    And in the terminal of "Bob" `kubectl get pods -n learner-$Ada` prints "forbidden"
    And in the terminal of "Bob" `kubectl get secrets -n wheelhouse-class` prints "forbidden"
    And in the terminal of "Bob" `kubectl create configmap mine --from-literal=of=$HOSTNAME` prints "mine created"
    When "Ada" starts lab "workshop/inspector"
    Then the board shows "Ada" with 0 checks done of 1
    And in the terminal of "Ada" `find ~ -name inspector-rc.yaml | head -1 | xargs kubectl create -f` prints "inspector created"
    And the board shows "Ada" with 1 check done of 1
    # What is stored is stored; nobody joins again.
    When the process of the class is killed, and the class is served again
    Then the board shows "Ada" with 1 check done of 1
    And "Ada" and "Bob" are still in the class
    And in the terminal of "Ada" `kubectl get rc -o name` prints "replicationcontroller/inspector"
    And in the terminal of "Bob" `kubectl get rc` prints "No resources found in learner-"

  Scenario: a wrong code is refused, and locks its address out
    Given a class is served that offers lab "workshop/inspector"
    Then joining with code "aaaa-aaaa" is refused with status 403, 5 times
    And joining with code "aaaa-aaaa" is refused with status 429, 1 time
    And joining with the code of the room is refused with status 429, 1 time

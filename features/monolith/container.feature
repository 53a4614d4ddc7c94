Feature: One program, one container
  What labs/monolith/01-container: each scenario holds at the point of the text that names it.

  @M1
  Scenario: the program answers, and requires a token for its page
    Then `curl -s http://127.0.0.1:10180/` prints "Hello"
    And `curl -s -w %{http_code} http://127.0.0.1:10180/secure` prints "401"
    And `curl -s -w %{http_code} -u user:wrong http://127.0.0.1:10180/login` prints "401"
    And `curl -s -H "Authorization: Bearer $(curl -s -u user:password http://127.0.0.1:10180/login | cut -d '"' -f 4)" http://127.0.0.1:10180/secure` prints "Hello"
    And `curl -s http://127.0.0.1:10180/version` prints "1.0.0"
    And `curl -s http://127.0.0.1:10181/healthz` prints "ok"

  @M1
  Scenario: the image exists, and is small
    Then Docker has an image "learner/monolith:1.0.0"
    And `docker images learner/monolith` prints a line like "^learner/monolith +1\.0\.0 .* [0-9.]+ ?MB"

  @M1
  Scenario: the container runs and answers
    Then Docker runs a container of image "learner/monolith:1.0.0"
    And `docker ps` prints a line like "learner/monolith:1\.0\.0 .* Up "
    And `curl -s http://$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' $(docker ps -q --filter ancestor=learner/monolith:1.0.0))/version` prints "1.0.0"

  @M1
  Scenario: container and image are removed
    Then Docker runs no container of image "learner/monolith:1.0.0"
    And Docker has no image "learner/monolith:1.0.0"

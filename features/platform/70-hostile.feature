Feature: Hostile connections
  One user's connections do not behave; another user's requests are answered as ever, and
  nodes stay ready.

  @alone
  Scenario: No user stops the others
    Given two users who each may edit a namespace
    When one of them holds 300 connections of the kind "slow bodies"
    Then the other has all of its work done 30 times
    When one of them holds 100 connections of the kind "slow bodies over HTTP/2"
    Then the other has all of its work done 30 times
    When one of them holds 450 connections of the kind "readers that do not read"
    Then the other has all of its work done 30 times
    When one of them holds 150 connections of the kind "readers without a window"
    Then the other has all of its work done 30 times
    When one of them holds 450 connections of the kind "silent connections"
    Then the other has all of its work done 30 times
    When one of them holds 300 connections of the kind "slow headers"
    Then the other has all of its work done 30 times
    When one of them holds 200 connections of the kind "watches"
    Then the other has all of its work done 30 times
    When one of them holds 150 connections of the kind "log streams"
    Then the other has all of its work done 30 times
    When one of them holds 100 connections of the kind "large tables"
    Then the other has all of its work done 30 times
    When one of them holds 100 connections of the kind "rapid resets"
    Then the other has all of its work done 30 times
    When one of them holds 100 connections of the kind "bad tokens"
    Then the other has all of its work done 30 times
    And no node has become not ready

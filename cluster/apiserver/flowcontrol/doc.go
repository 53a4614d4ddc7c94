// Package flowcontrol shares a server's capacity between its users, so that none of them can
// exhaust it.
//
// Requests are sorted into priority levels, and within a level into flows, one for each
// user. A level has a number of seats: a request occupies one while it is executed, or
// several if it is large. When no seat is free, requests wait in a bounded queue of their
// flow, for a bounded time, and the flow that has the fewest seats is served first. Apart
// from seats a level bounds what each of its flows, and all of them together, may hold
// while their clients are slow: requests in flight, watches, streams, bytes.
//
// The terms and the default levels are those of upstream's API Priority and Fairness.
// What upstream has in objects (FlowSchema, PriorityLevelConfiguration) is here in
// Classify and Levels; levels do not lend each other seats.
//
// The package starts no goroutine and has no clock but the timers of waiting requests. It
// panics with http.ErrAbortHandler for clients that do not take the answers 429 and 401.
package flowcontrol

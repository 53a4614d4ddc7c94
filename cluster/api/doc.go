// Package api has the table of kinds: for every kind of object its Go type (those of
// k8s.io/api), what is filled in when a client leaves it out, what may be in it, what
// an update may change, and the columns that kubectl prints.
//
// It is pure: no I/O, no goroutines, and nothing is kept between calls. The functions
// of a Kind may change only the object they are given, which must therefore be the
// caller's own copy and never one out of a cache. Default is idempotent.
//
// What belongs to all objects alike (generated names, uid, creationTimestamp,
// resourceVersion, deletion) is the API server's. Messages, field paths and error
// types are those that Kubernetes documents, since clients compare them.
//
// The kinds of a group stand in a package of its name (core, apps, ...), one file a
// kind, or a few that share their rules (rbac.go); the rules of a large one stand
// beside it (deployment_validate.go). The rules of pod specs are in podrules, what the
// files of kinds are written with is in rules, and builtin lists the kinds that are
// served from the start on. A new kind is a new file and one line in builtin.go. The
// versions that kinds had before are in retired.go of their group.
package api

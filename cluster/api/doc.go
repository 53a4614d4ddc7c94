// Package api has the table of kinds: for each kind its Go type (of k8s.io/api), defaults, validation, update
// rules and the columns that kubectl prints.
//
// It does no I/O, starts no goroutines and keeps no state between calls. A function of a Kind may change only
// the object that it is given, which must be a copy of the caller and never one from a cache. Default is
// idempotent.
//
// The API server sets what all objects have: generated names, uid, creationTimestamp, resourceVersion, deletion.
// Error texts, field paths and error types are upstream's, as clients compare them.
//
// The kinds of a group are in the package of its name (core, apps, ...), one file for each kind or for several
// with shared rules (rbac.go); deployment_validate.go has the validation of deployment.go. Package podrules has
// the rules of pod specs, rules the shared helpers. Package builtin lists the kinds that are served at the
// start: a new kind is a new file and a line in builtin.go. Retired versions are in retired.go of the group.
package api

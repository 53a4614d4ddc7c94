// Package quota is how the objects of a namespace count against its ResourceQuotas:
// what each uses (Of), which quotas it counts for (Matches), what a pod must say so
// that it can be counted (Unspecified), and whether a wish still fits (Exceeded). The
// API server asks before it stores an object, the controller counts again what there
// is; both must come to the same. Nothing here does I/O.
//
// # How usage never exceeds what is allowed
//
// Before an object is stored, the API server adds what it will use to the quota's
// status, by compare-and-swap, and notes in an annotation for which object: a
// reservation. It is taken out of the annotation when the write has ended. Usage is
// the sum of the objects that a list shows, at the quota's revision or a later one, and
// of the reservations for objects that the list does not show. Who writes that sum by
// compare-and-swap on the quota that was read can neither miss an object that is just
// being made nor count one twice.
package quota

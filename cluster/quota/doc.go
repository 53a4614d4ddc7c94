// Package quota defines how the objects of a namespace count against its ResourceQuotas: what
// each uses (Of), in which quotas it counts (Matches), what a pod must specify to be counted
// (Unspecified), and whether a request exceeds a quota (Exceeded). Admission in the API
// server and the resource quota controller must use these functions, so that both count the
// same. The package does no I/O.
//
// # How usage never exceeds the limits
//
// Before an object is stored, the API server adds its usage to the quota's status, by
// compare-and-swap, and adds a reservation for the object to an annotation. It removes the
// reservation when the write is complete. Usage is the sum over the objects in a list, at
// the quota's revision or a later one, and over the reservations for objects that are not
// in the list. A writer of that sum, by compare-and-swap on the quota that was read, can
// neither miss an object that is being created nor count one twice.
package quota

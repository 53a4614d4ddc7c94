// Package fieldmanager keeps metadata.managedFields: who set which field of an object, by
// which operation, in which version and through which subresource.
//
// A Manager belongs to one resource and one of its subresources. Create and Update are for
// all writes but server-side apply, and never fail: what cannot be tracked has no owners
// afterwards, as upstream. Apply is server-side apply. All three change only the object that
// is to be written, never the one that is stored, and do no I/O.
//
// Apply is the library's (k8s.io/apimachinery/pkg/util/managedfields). Create and Update are
// done here for kinds with a Go type, by the same rules: two objects are compared along the
// shape of the kind, which is derived once from the Go type (hints.go), and a set of
// fields is only decoded when the write concerns it. That takes a tenth of the library's
// time; tests hold both to the same answers. What is rare is left to the library: other
// versions of the kind, managedFields that a client has edited, kinds without a Go type.
package fieldmanager

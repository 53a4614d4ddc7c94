// Package store keeps the cluster's objects in etcd and answers every read from a
// cache that one etcd watch feeds.
//
// It owns the keys and the encoding in etcd, the meaning of resourceVersion, and the
// streams of events. It is independent of HTTP, users, defaults or validation: what it
// is given, it writes.
//
// An Item and the object in it are shared by all readers and must never be changed.
// Objects handed to Create, or returned by the function given to Update, are read
// before the call returns and not kept.
package store

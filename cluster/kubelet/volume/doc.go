// Package volume sets up the volumes of a pod below the pod's directory, and returns the
// paths that the runtime mounts into its containers.
//
// A Manager has the volumes of one pod; there is a Plugin for each kind of volume. SetUp may
// be called again at any time: what is set up stays, and the files of ConfigMaps, Secrets,
// the downward API and tokens are brought up to date. There is no TearDown by kind: all that
// a plugin mounts lies below the pod's directory, so that Manager.TearDown, and at the end
// the removal of the directory, also cover pods of which only the directory is left.
//
// Pods can write to what is mounted here and to the node's disk. Each path is therefore
// opened once, checked while it is open, and mounted from the open file (package nodefs),
// and no plugin runs a program as root on what a pod has written. The package never starts
// containers, pulls images or changes API objects, and never makes a local volume.
//
// The caller calls a Manager from one goroutine at a time, passes only pods whose names fit
// into a path, and removes the pod's directory with nodefs.UnmountAndRemove.
package volume

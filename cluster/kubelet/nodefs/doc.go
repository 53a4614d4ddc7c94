// Package nodefs is the file system of a node: the disk of the machine, or a directory that
// stands for the disk of one of several nodes that share a machine. It opens, mounts,
// measures and removes files that pods can write to.
//
// No function here follows a path twice: a path is opened once (O_PATH, os.Root), and what
// is open is then checked, mounted or read, so that a pod that renames or links files
// meanwhile changes nothing. However deep a tree is, few of its directories are open at
// once, and no pipe or device is opened. The caller keeps and closes what Open and Hold
// return.
package nodefs

// Package machines proves a cluster on machines that share no link: each is a network namespace with a
// Docker Engine of its own, and a router between them without routes to pods. The program is
// bin/wheelhouse; only this machine's kernel is shared. It runs as root (make test-machines).
package machines

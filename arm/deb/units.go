// Package deb has the systemd units of the Debian package as text, for machines that are set up without it.
package deb

import "embed"

// Units are wheelhouse-server.service and wheelhouse-node.service, below root/usr/lib/systemd/system.
//
//go:embed root/usr/lib/systemd/system/*.service
var Units embed.FS

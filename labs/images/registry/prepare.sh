#!/usr/bin/env bash
# The packaged settings ask for a password of a file that nobody has made, and log to a terminal
# that is none. Who may reach the registry is decided by the cluster's network.
set -euo pipefail
root=$1
mkdir -p "$root/etc/docker/registry" "$root/var/lib/docker-registry"
cat >"$root/etc/docker/registry/config.yml" <<'EOF'
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: /var/lib/docker-registry}
  delete: {enabled: true}
http: {addr: ":5000"}
health: {storagedriver: {enabled: true, interval: 60s, threshold: 3}}
EOF

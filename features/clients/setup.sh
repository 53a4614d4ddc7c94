#!/usr/bin/env bash
# Installs what the clients' tests need of the distribution: the Python client and tmux. What is there is left alone.
set -euo pipefail

missing=()
/usr/bin/python3 -c 'import kubernetes, yaml' 2>/dev/null || missing+=(python3-kubernetes)
command -v tmux >/dev/null || missing+=(tmux)
[ ${#missing[@]} -gt 0 ] || exit 0
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get -q -y update >/dev/null
apt-get -q -y install --no-install-recommends "${missing[@]}"

#!/usr/bin/env bash
# nginx with no site of its own: the program beside it writes the one that there is.
set -euo pipefail
root=$1
mkdir -p "$root"/var/lib/nginx "$root"/var/log/nginx "$root"/etc/nginx/conf.d
ln -sf /dev/stdout "$root/var/log/nginx/access.log"
ln -sf /dev/stderr "$root/var/log/nginx/error.log"
rm -rf "$root"/etc/nginx/sites-enabled/*

#!/usr/bin/env bash
# What the package's scripts would do on a machine, and where the image's users look.
set -euo pipefail
root=$1
mkdir -p "$root"/var/lib/nginx "$root"/var/log/nginx "$root"/etc/nginx/conf.d
ln -sf /dev/stdout "$root/var/log/nginx/access.log"
ln -sf /dev/stderr "$root/var/log/nginx/error.log"
rm -rf "$root"/etc/nginx/sites-enabled/*
cat >"$root/etc/nginx/conf.d/default.conf" <<'CONF'
server {
    listen 80 default_server;
    server_name _;
    location / {
        root /usr/share/nginx/html;
        index index.html;
    }
}
CONF

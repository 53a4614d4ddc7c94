#!/usr/bin/env bash
# What the package's scripts would do on a machine, and a page to register at.
set -euo pipefail
root=$1
mkdir -p "$root"/var/log/apache2 "$root"/var/run/apache2 "$root"/var/lock/apache2 "$root"/etc/apache2/{mods,conf,sites}-enabled \
  "$root/var/www/html/register" "$root/usr/local/bin"
for module in mpm_event authz_core authz_host dir mime; do
  for file in "$root/etc/apache2/mods-available/$module".{load,conf}; do
    [ ! -e "$file" ] || ln -sf "../mods-available/$(basename "$file")" "$root/etc/apache2/mods-enabled/"
  done
done
ln -sf ../sites-available/000-default.conf "$root/etc/apache2/sites-enabled/"
ln -sf /usr/sbin/apachectl "$root/usr/local/bin/apachectl"
ln -sf /dev/stdout "$root/var/log/apache2/access.log"
ln -sf /dev/stderr "$root/var/log/apache2/error.log"
echo 'ServerName localhost' >>"$root/etc/apache2/apache2.conf"
echo 'It works!' >"$root/var/www/html/index.html"
echo 'registered' >"$root/var/www/html/register/index.html"

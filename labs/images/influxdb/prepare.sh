#!/usr/bin/env bash
# The packaged settings name the machine's directories; the image's are set by environment.
set -euo pipefail
root=$1
rm -f "$root/etc/influxdb/influxdb.conf"
mkdir -p "$root/data"

#!/usr/bin/env bash
# Where the image's data is.
set -euo pipefail
mkdir -p "$1/data"

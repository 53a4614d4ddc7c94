#!/usr/bin/env bash
# Prepares a Debian 12 machine for a local cluster: the Docker Engine and the tools that
# the cluster and its images need, from the distribution's packages as this machine's own
# apt is set to reach them. What is present is left alone: a Docker that answers is
# neither installed nor restarted. Safe to run again; a second run changes nothing.
set -euo pipefail

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }

# command=package. A command that is there is never replaced by the package.
needs=(iptables=iptables ip=iproute2 curl=curl openssl=openssl git=git make=make tar=tar nsenter=util-linux)

# docker: the engine alone counts, for a client without an engine is no Docker.
docker_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

install_missing() {
  local missing=() need
  for need in "${needs[@]}"; do
    command -v "${need%%=*}" >/dev/null || missing+=("${need#*=}")
  done
  if ! docker_answers; then
    command -v dockerd >/dev/null && command -v docker >/dev/null || missing+=(docker.io)
    # What a learner wants on a node; not worth an installation where Docker is present.
    command -v ping >/dev/null || missing+=(iputils-ping)
  fi
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "missing: ${missing[*]}. Install them; only Debian's apt is known here."
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q -y update >/dev/null || die "apt-get update failed: see what 'apt-get update' says, then run this again"
  apt-get -q -y install --no-install-recommends "${missing[@]}" >/var/log/wheelhouse-setup.log 2>&1 ||
    die "apt-get install ${missing[*]} failed: see /var/log/wheelhouse-setup.log"
}

# Where no init system did it, dockerd finds no control groups. Version 1, one mount for
# each controller: the kernel's own list.
mount_cgroups() {
  mountpoint -q /sys/fs/cgroup && return 0
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  local controller
  for controller in $(awk '!/^#/ && $4 == 1 {print $1}' /proc/cgroups); do
    mkdir -p "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" || rmdir "/sys/fs/cgroup/$controller"
  done
}

start_docker() {
  docker_answers && return 0
  if [ -d /run/systemd/system ]; then
    say "starting the Docker Engine (systemd)"
    systemctl start docker
  else
    say "starting the Docker Engine (no init system here; log in /var/log/dockerd.log)"
    mount_cgroups
    # A pid file from a machine that was cut off would stop the new engine.
    if [ -r /var/run/docker.pid ] && ! kill -0 "$(cat /var/run/docker.pid)" 2>/dev/null; then
      rm -f /var/run/docker.pid
    fi
    setsid nohup dockerd </dev/null >>/var/log/dockerd.log 2>&1 &
    disown
  fi
  local deadline=$((SECONDS + 60))
  until docker_answers; do
    [ $SECONDS -lt $deadline ] || die "the Docker Engine does not answer after 60 s: see /var/log/dockerd.log or 'journalctl -u docker'"
    sleep 0.2
  done
  # Tests may restart the engine that was started here, and no other.
  [ -d /run/systemd/system ] || cp /var/run/docker.pid /run/wheelhouse-dockerd.pid
}

[ "$(id -u)" = 0 ] || die "run this as root: it installs packages and starts the Docker Engine"
install_missing
start_docker

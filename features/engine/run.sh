#!/usr/bin/env bash
# Proves Wheelhouse on a Docker Engine newer than the distribution's, without a virtual machine: the
# engine runs beside the machine's own, in namespaces of its own, with the userland of a later suite
# of Debian. Everything else is the machine's: kernel, control groups, disk, /etc, /dev.
#
#   run.sh [STAGE...]      all stages of prove.sh in their order; or the named ones, on a new cluster
#   run.sh shell           the engine without a cluster, and a shell beside it
#
# WHEELHOUSE_ENGINE_DIR     where root, images and logs are (default: bin/engine)
# WHEELHOUSE_ENGINE_SUITE   the suite that the engine is of (default: sid)
# WHEELHOUSE_ENGINE_MODULE  a version of the module github.com/moby/moby/v2, such as v2.0.0-beta.24: its
#                           dockerd is built and takes the place of the suite's
# WHEELHOUSE_ENGINE_ARGS    further flags of dockerd, such as --feature=containerd-snapshotter=true
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
dir=${WHEELHOUSE_ENGINE_DIR:-$top/bin/engine}
suite=${WHEELHOUSE_ENGINE_SUITE:-sid}
module=${WHEELHOUSE_ENGINE_MODULE:-}
root=$dir/_$suite # the go command passes over a name with an underscore

# The engine, what the labs' commands use, and what the shell scripts of this directory do.
packages=(docker.io docker-cli containerd runc iptables iproute2 curl openssl ca-certificates procps kmod mount less git)

say() { echo "engine: $*"; }
die() { echo "engine: $*" >&2; exit 1; }

# mirror: where this machine's apt has a suite's packages.
mirror() { # SUITE
  # shellcheck disable=SC2016 # apt's own variables
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$1" '$1 == suite {print $2; exit}'
}

# build_root: the suite's userland. Only its /usr is used. A mirror's copy may be older than the
# week for which sid's index is valid; its signature is verified.
build_root() {
  local from began=$SECONDS
  [ "$(cat "$root.packages" 2>/dev/null)" != "${packages[*]}" ] || return 0
  [ -n "$(type -P mmdebstrap)" ] ||
    { apt-get -q -y update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends mmdebstrap; } >"$dir/setup.log" 2>&1 ||
    die "mmdebstrap is missing: see $dir/setup.log"
  from=$(mirror "$suite")
  # shellcheck disable=SC1091
  [ -n "$from" ] || from=$(mirror "$(. /etc/os-release && echo "$VERSION_CODENAME")")
  [ -n "$from" ] || die "this machine's apt names no mirror of Debian"
  say "installing the Docker Engine of Debian $suite into $root"
  rm -rf --one-file-system "$root"
  unshare --mount mmdebstrap --aptopt='Acquire::Check-Valid-Until "false"' --mode=root --variant=minbase \
    --include="$(IFS=,; echo "${packages[*]}")" "$suite" "$root" "$from" >"$dir/unpack.log" 2>&1 ||
    { tail -5 "$dir/unpack.log" >&2; die "$suite is not installed: see $dir/unpack.log"; }
  echo "${packages[*]}" >"$root.packages"
  say "$(du -sh "$root" | cut -f1) in $((SECONDS - began)) s"
}

# build_daemon: dockerd of the module.
build_daemon() {
  local began=$SECONDS
  [ -n "$module" ] || return 0
  [ ! -x "$dir/$module/dockerd" ] || return 0
  say "building dockerd of github.com/moby/moby/v2 $module"
  (cd / && GOFLAGS=-trimpath GOBIN="$dir/$module" CGO_ENABLED=0 go install -ldflags '-s -w' "github.com/moby/moby/v2/cmd/dockerd@$module") \
    >"$dir/build.log" 2>&1 || { tail -5 "$dir/build.log" >&2; die "dockerd is not built: see $dir/build.log"; }
  say "built in $((SECONDS - began)) s"
}

# save_images: those of the labs, from the machine's own engine.
save_images() {
  local tags wanted
  mapfile -t tags < <(sed -n 's/^# tag: //p' "$top"/labs/images/*/Dockerfile)
  wanted=$(docker image inspect -f '{{.Id}} {{.RepoTags}}' "${tags[@]}" | sort -u | sha256sum)
  if [ -f "$dir/images.tar" ] && [ "$(cat "$dir/images" 2>/dev/null)" = "$wanted" ]; then return 0; fi
  rm -f "$dir/images"
  docker save -o "$dir/images.tar" "${tags[@]}"
  echo "$wanted" >"$dir/images"
}

# traces: what a run could leave on the machine, in lines that can be compared.
traces() {
  iptables-save 2>/dev/null | grep '^-A' || true
  cut -d' ' -f5 /proc/self/mountinfo | grep -F -e "$dir" -e /wh-engine- || true
  ls -d /run/netns/wh-engine-* /var/lib/wheelhouse/engine 2>/dev/null || true
  find /sys/fs/cgroup -type d -path '*/wheelhouse/engine*' 2>/dev/null || true
  pgrep -af "^[^ ]*(dockerd|containerd|wheelhouse)[^ ]* .*($dir/work|/engine/)" || true
}

[ "$(id -u)" = 0 ] || die "run this as root: the engine needs namespaces of its own"
mkdir -p "$dir"
exec 9>"$dir/lock"
flock -n 9 || die "another run uses $dir"
build_root
build_daemon
save_images
rm -rf --one-file-system "$dir/work"
mkdir -p "$dir/work"
traces | sort >"$dir/before"
status=0
# Mounts, rules and addresses end with the namespaces, and all processes with prove.sh, however that ends.
WHEELHOUSE_ENGINE_DIR=$dir WHEELHOUSE_ENGINE_MODULE=$module \
  unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc \
  "$here/prove.sh" "$root" "$@" 9>&- || status=$?
rm -rf --one-file-system "$dir/work"
left=$(traces | sort | comm -13 "$dir/before" -)
[ -z "$left" ] || die "left on the machine: $left"
[ $status -eq 0 ] && say "nothing is left on the machine"
exit $status

#!/usr/bin/env bash
# The stages of run.sh, in the namespaces that run.sh has made. Not to be called without it: it
# mounts the root's userland over /usr.
#
#   prove.sh ROOT [STAGE...]
#
# A stage ends with another status than 0 where something is not as it shall be; its lines "seen: ..."
# go to the summary.
#
# shellcheck disable=SC2016 # until_true evaluates its commands each time
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
dir=$WHEELHOUSE_ENGINE_DIR
root=$1
work=$dir/work
shift
labs=(influxdb inspector nginx container monolith deployments updates notes more)

stages=(up commands streams copies top memory images restart kill "${labs[@]}" down)
wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=("${stages[@]}")

say() { echo "engine: $*"; }
seen() { echo "seen: $*"; }
fail() { echo "FAIL: $*"; exit 1; }

# until_true SECONDS COMMAND...: until it succeeds; what it printed last is in $work/until.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >"$work/until" 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "not within the time: $*: $(tail -3 "$work/until")"
    sleep 0.2
  done
}

# daemon: starts the engine with all its files in $work. Its bridge and rules are in the network namespace.
daemon() {
  local program=dockerd args
  [ -z "${WHEELHOUSE_ENGINE_MODULE:-}" ] || program=$dir/$WHEELHOUSE_ENGINE_MODULE/dockerd
  read -ra args <<<"${WHEELHOUSE_ENGINE_ARGS:-}"
  "$program" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" --host "$DOCKER_HOST" "${args[@]}" >>"$dir/dockerd.log" 2>&1 &
  until_true 120 docker version
}

# end_daemon SIGNAL
end_daemon() {
  local pid
  pid=$(cat "$work/pid" 2>/dev/null) || return 0
  kill "-$1" "$pid"
  until_true 60 eval "! kill -0 $pid"
}

# run NAME IMAGE COMMAND...: a pod that is ready, in the namespace engine.
run() {
  local name=$1 image=$2
  shift 2
  kubectl -n engine run "$name" --image "$image" --image-pull-policy Never --restart Always -- "$@"
  kubectl -n engine wait --for condition=Ready --timeout 120s "pod/$name"
}

up() {
  wheelhouse doctor || true
  wheelhouse up --nodes 2
  kubectl create namespace engine
  run shell busybox:1.35 sh -c 'while :; do sleep 1; done'
  until_true 60 eval 'kubectl get nodes -o wide | grep -F "docker://$(docker version --format "{{.Server.Version}}")"'
  seen "nodes run on $(docker version --format 'Docker {{.Server.Version}}, API {{.Server.APIVersion}} (least {{.Server.MinAPIVersion}})'), $(docker info --format 'driver {{.Driver}}, cgroup version {{.CgroupVersion}}')"
}

# What kubectl exec passes on: output, exit code, stdin to its end, a terminal.
commands() {
  local code=0
  kubectl -n engine exec shell -- sh -c 'echo out; echo err >&2; exit 7' >"$work/out" 2>"$work/err" || code=$?
  [ "$code" = 7 ] || fail "exit code $code, want 7"
  [ "$(cat "$work/out")" = out ] || fail "output $(cat "$work/out")"
  grep -qx err "$work/err" || fail "error output $(cat "$work/err")"
  head -c 3000000 /dev/urandom >"$work/random"
  [ "$(kubectl -n engine exec -i shell -- sha256sum <"$work/random" | cut -c1-64)" = "$(sha256sum "$work/random" | cut -c1-64)" ] || fail "stdin has arrived changed"
  seen "exec: exit code, both outputs, 3 MB of stdin"
}

# Logs: each line once and in order, followed to the end; those of the container before.
streams() {
  kubectl -n engine run lines --image busybox:1.35 --image-pull-policy Never --restart Never -- sh -c 'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done'
  until_true 120 eval 'kubectl -n engine get pod lines -o "jsonpath={.status.phase}" | grep -qE "Running|Succeeded"'
  timeout 120 kubectl -n engine logs -f lines >"$work/lines"
  seq 0 19999 | sed 's/^/line /' | cmp - "$work/lines" || fail "logs -f: $(wc -l <"$work/lines") lines, want 20000 in order"
  kubectl -n engine run again --image busybox:1.35 --image-pull-policy Never -- sh -c 'cat /proc/sys/kernel/random/uuid; sleep 1; exit 3'
  until_true 120 eval 'kubectl -n engine logs --previous again | grep -- -'
  until_true 60 eval 'kubectl -n engine get pod again -o "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}" | grep -qx 3'
  kubectl -n engine delete pod lines again --now
  seen "logs: 20000 lines followed to the end, those of the container before"
}

copies() {
  mkdir -p "$work/from"
  cp "$here"/*.sh "$work/from/"
  kubectl -n engine cp "$work/from" shell:/tmp/from
  kubectl -n engine cp shell:/tmp/from "$work/back"
  diff -r "$work/from" "$work/back" || fail "cp: not the same files"
  seen "cp: a directory there and back"
}

# Usage by the node's summary, and what kubectl top makes of it.
top() {
  until_true 120 eval 'kubectl -n engine top pod shell --no-headers | grep -E "[0-9]Mi"'
  until_true 60 kubectl top node
  kubectl -n engine exec shell -- sh -c 'head -c 5000000 /dev/zero >/written'
  until_true 120 eval 'for node in minion-1 minion-2; do kubectl get --raw /api/v1/nodes/$node/proxy/stats/summary; done | tr -d " \n" | grep -oE "\"rootfs\":\{[^}]*\"usedBytes\":[0-9]+" | grep -E "usedBytes\":[5-9][0-9]{6}"'
  seen "top: pod, node; the summary has what a container has written"
}

memory() {
  kubectl -n engine apply -f - <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: hungry}
spec:
  restartPolicy: Never
  containers:
  - name: eats
    image: busybox:1.35
    imagePullPolicy: Never
    command: [sh, -c, "x=a; while :; do x=$x$x; done"]
    resources: {limits: {memory: 32Mi, cpu: 200m}}
YAML
  until_true 120 eval 'kubectl -n engine get pod hungry -o "jsonpath={.status.containerStatuses[0].state.terminated.reason} {.status.containerStatuses[0].state.terminated.exitCode}" | grep -qx "OOMKilled 137"'
  kubectl -n engine delete pod hungry --now
  seen "a container beyond its memory ends with OOMKilled"
}

# Images: the node lists those of the engine; a volume of an image; one that is not there.
images() {
  until_true 120 eval 'kubectl get node minion-1 -o "jsonpath={.status.images[*].names[*]}" | grep -F busybox'
  kubectl -n engine apply -f - <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: mounts}
spec:
  containers:
  - name: main
    image: busybox:1.35
    imagePullPolicy: Never
    command: [sleep, "3600"]
    volumeMounts: [{name: files, mountPath: /files}]
  volumes:
  - name: files
    image: {reference: "nginx:latest", pullPolicy: Never}
---
apiVersion: v1
kind: Pod
metadata: {name: lacks}
spec:
  containers: [{name: main, image: "nobody/nothing:1", imagePullPolicy: Never}]
YAML
  kubectl -n engine wait --for condition=Ready --timeout 120s pod/mounts
  kubectl -n engine exec mounts -- ls /files/usr/sbin/nginx
  kubectl -n engine exec mounts -- sh -c '! touch /files/x'
  until_true 60 eval 'kubectl -n engine get pod lacks -o "jsonpath={.status.containerStatuses[0].state.waiting.reason}" | grep -x ErrImageNeverPull'
  kubectl -n engine delete pod mounts lacks --now
  seen "images: listed on the node, mounted as a volume, missed by name"
}

# restarted: the pod is ready in another container than $1.
restarted() {
  until_true 180 eval '[ -n "$(kubectl -n engine get pod shell -o "jsonpath={.status.containerStatuses[0].state.running.startedAt}")" ] &&
    [ "$(kubectl -n engine get pod shell -o "jsonpath={.status.containerStatuses[0].containerID}")" != "'"$1"'" ]'
  kubectl -n engine wait --for condition=Ready --timeout 120s pod/shell
  kubectl -n engine exec shell -- true
}

container_id() { kubectl -n engine get pod shell -o 'jsonpath={.status.containerStatuses[0].containerID}'; }

# As with the distribution's: a daemon that ends ends its containers, and the kubelet starts them again.
restart() {
  local id began
  id=$(container_id)
  end_daemon TERM
  began=$SECONDS
  daemon
  restarted "$id"
  seen "the engine restarted: ready again after $((SECONDS - began)) s"
}

kill_it() {
  local id began
  id=$(container_id)
  end_daemon KILL
  kill -0 "$(pgrep -f "$work/exec" | head -1)" || fail "the containers' shims have ended with the engine"
  began=$SECONDS
  daemon
  restarted "$id"
  seen "the engine killed and started: ready again after $((SECONDS - began)) s"
}

down() {
  wheelhouse down
  [ -z "$(docker ps -aq --filter label=wheelhouse.cluster=engine)" ] || fail "containers are left: $(docker ps -a)"
  [ -z "$(find /sys/fs/cgroup -type d -path '*/wheelhouse/engine*' 2>/dev/null)" ] || fail "control groups are left"
  seen "down: no container, no control group"
}

lab() { wheelhouse lab run "$1"; }

# stage NAME: runs it; its output is in the log.
stage() {
  local name=$1 began=$SECONDS result=ok command=("$1")
  [ "$name" != kill ] || command=(kill_it)
  [[ ! " ${labs[*]} " == *" $name "* ]] || command=(lab "$name")
  # In the background: before "||" bash would go on after a command that fails.
  (set -e; "${command[@]}") >"$work/last" 2>&1 </dev/null &
  wait $! || result=FAIL
  { echo "===== $name: $result, $(date -u +%FT%TZ)"; cat "$work/last"; } >>"$dir/engine.log"
  printf '%-5s %-12s %5d s\n' $result "$name" $((SECONDS - began)) | tee -a "$dir/summary"
  sed -n 's/^seen: /        /p' "$work/last" | tee -a "$dir/summary"
  [ $result = ok ] || { tail -n 25 "$work/last" | cut -c1-300; failed+=("$name"); }
}

finish() {
  wheelhouse down >/dev/null 2>&1 || true
  end_daemon TERM || true
}

mount --bind "$root/usr" /usr
ip link set lo up
# Clusters, names of namespaces, and what the labs remember of a learner are those of this run.
mkdir -p /run/netns /var/lib/wheelhouse "$work/state" "$work/home"
mount -t tmpfs tmpfs /run/netns
# "down" removes the directory when it is empty, and this one is mounted.
touch /run/netns/.engine
mount --bind "$work/state" /var/lib/wheelhouse
export PATH=$top/bin:/usr/sbin:/usr/bin:/sbin:/bin
export DOCKER_HOST=unix://$work/docker.sock WHEELHOUSE_CLUSTER=engine WHEELHOUSE_NO_COLOR=1
export KUBECONFIG=/var/lib/wheelhouse/engine/admin.kubeconfig HOME=$work/home XDG_STATE_HOME=$work/home/state
: >"$dir/engine.log"
: >"$dir/dockerd.log"
: >"$dir/summary"
trap finish EXIT
daemon
docker load -q -i "$dir/images.tar" >"$work/load" 2>&1 || { cat "$work/load"; exit 1; }
say "$(docker version --format 'Docker {{.Server.Version}}, API {{.Server.APIVersion}}'), $(runc --version | head -1), $(iptables --version)"
if [ "${wanted[*]}" = shell ]; then
  bash
  exit
fi
failed=()
began=$SECONDS
for name in "${wanted[@]}"; do stage "$name"; done
say "${#wanted[@]} stages in $((SECONDS - began)) s, failed: ${failed[*]:-none}; all output is in $dir/engine.log"
[ ${#failed[@]} -eq 0 ]

#!/usr/bin/env bash
# Stages of `make test-kits`: the Debian package on two machines that really start, of
# features/vm: a master and a worker with systemd, in a network of their own apart from this
# machine's. What is "from outside" here is this machine's part of that network.
#
#   package.sh STAGE     install, lab, upgrade, power or remove; each goes on from those before
#   package.sh cut       cuts the machines' power, and ends their network
#
# WHEELHOUSE_KITS_DIR  see prove.sh
# WHEELHOUSE_VM_DIR    the image of features/vm (default: bin/vm)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
dir=${WHEELHOUSE_KITS_DIR:-$top/bin/kits}
image=${WHEELHOUSE_VM_DIR:-$top/bin/vm}
at=$dir/machines
network=10.245.9

export WHEELHOUSE_VM_MEMORY=1024 KUBECONFIG=$at/kubeconfig

seen() { echo "seen: $*"; }
die() { echo "FAILED: $*" >&2; exit 1; }
inside() { "$here/apart.sh" run "$at" "$@"; }
equal() { [ "$2" = "$3" ] || die "$1: want '$2', got '$3'"; }
kubectl() { inside "$dir/deb/$(dpkg --print-architecture)/wheelhouse" kubectl "$@"; }

# vm MACHINE VERB ARGS...: vm.sh for one of the two.
vm() {
  local name=$1 verb=$2 number=2
  shift 2
  [ "$name" = master ] || number=3
  inside env WHEELHOUSE_VM_NETDEV="tap,ifname=kit-$name,script=no,downscript=no" WHEELHOUSE_VM_NUMBER=$number \
    "$top/features/vm/vm.sh" "$verb" "$at/$name" "$@"
}
on() { vm "$1" ssh "$2"; }

timed() { # TEXT CMD...
  local text=$1 began=$SECONDS
  shift
  "$@"
  seen "$text: $((SECONDS - began)) s"
}

# within SECONDS WHAT CMD...: until it succeeds.
within() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >"$at/within.out" 2>&1; do
    [ $SECONDS -lt $deadline ] || die "$what: not so in time: $(tail -n 3 "$at/within.out")"
    sleep 1
  done
}

# bridge: this machine's part of the network.
bridge() {
  "$here/apart.sh" start "$at" sleep infinity
  inside ip link show kit >/dev/null 2>&1 && return 0
  inside ip link add kit type bridge
  inside ip address add $network.1/24 dev kit
  inside ip link set kit up
  for name in master worker; do
    inside ip tuntap add dev kit-$name mode tap
    inside ip link set dev kit-$name master kit up
  done
}

boot() { # MACHINE
  vm "$1" boot
  vm "$1" wait 2400
}

# ready: the machines of an earlier stage run; after a break they are as after a power cut.
ready() {
  bridge
  for name in master worker; do
    inside sh -c "kill -0 \$(cat $at/$name/pid)" 2>/dev/null || timed "$name was started again" boot $name
  done
  within 1200 "two nodes are Ready" nodes_ready
}

nodes_ready() { [ "$(kubectl get nodes -o jsonpath='{range .items[*].status.conditions[?(@.type=="Ready")]}{.status}{end}')" = TrueTrue ]; }

fresh() { # MACHINE NUMBER
  local file
  rm -rf "${at:?}/$1"
  mkdir -p "$at/$1"
  for file in disk.raw loaded.qcow2 vmlinuz initrd.img id id.pub; do ln -s "$(realpath "$image")/$file" "$at/$1/$file"; done
  ln -s ../payload "$at/$1/payload"
  vm "$1" start loaded.qcow2
}

# named: what a network's administrator would give the machine.
named() { # MACHINE NUMBER
  on "$1" "hostname $1 && echo $1 >/etc/hostname && sed -i s/wheelhouse-vm/$1/ /etc/hosts &&
    printf '[Match]\nMACAddress=52:54:00:f5:09:0$2\n[Network]\nAddress=$network.$2/24\n' >/etc/systemd/network/10-kit.network &&
    networkctl reload && until ip -4 -o address show | grep -q $network.$2/; do sleep 1; done"
}

install_on() { # MACHINE older|newer
  on "$1" "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install /payload/$2.deb" >"$at/apt.log" 2>&1 ||
    { tail -n 5 "$at/apt.log" >&2; die "apt-get install on $1"; }
}

# verified: the units as systemd itself sees them, and what the package has set.
verified() { # MACHINE
  local line
  line=$(on "$1" 'systemd-analyze verify --man=no /usr/lib/systemd/system/wheelhouse-*.service 2>&1 || true')
  equal "systemd-analyze verify on $1" "" "$line"
  line=$(on "$1" 'sysctl -n net.ipv4.ip_forward; systemctl --failed --no-legend --plain | grep wheelhouse || true')
  equal "forwarding, and failed units on $1" 1 "$line"
}

stage_install() {
  rm -rf "$at/payload"
  "$here/apart.sh" stop "$at"
  WHEELHOUSE_VM_DIR=$image WHEELHOUSE_VM_MEMORY=3072 "$top/features/vm/run.sh" image
  mkdir -p "$at/payload"
  cp "$dir"/older/wheelhouse_*.deb "$at/payload/older.deb"
  cp "$dir"/deb/wheelhouse_*.deb "$at/payload/newer.deb"
  bridge
  fresh master
  fresh worker
  for name in master worker; do vm $name wait 2400; done
  named master 2
  named worker 3
  for name in master worker; do
    timed "apt-get install ./wheelhouse.deb on the $name" install_on $name older
    on $name 'kube-config install'
    # The disk has no such package, and the machine reaches none.
    # shellcheck disable=SC2016 # quotes of the text
    equal "what kube-config info says is needed on the $name, with 1 GB of memory" \
      'compressed memory, as it has little: `apt-get install systemd-zram-generator`, then `kube-config install`' "$(on $name "kube-config info | sed -n 's/^Needs: //p'")"
  done
  timed "kube-config enable-master" on master "kube-config enable-master --address $network.2 --name master"
  on master 'kube-config token' >"$at/token"
  timed "kube-config enable-worker" on worker "$(tail -n 1 "$at/token") --address $network.3 --name worker"
  on master 'cat /etc/wheelhouse/state/server/admin.kubeconfig' >"$at/kubeconfig"
  chmod 600 "$at/kubeconfig"
  timed "two nodes are Ready" within 1200 "two nodes are Ready" nodes_ready
  kubectl get nodes -o wide
  for name in master worker; do verified $name; done
  # shellcheck disable=SC2016 # the machine's variables
  seen "$(on worker '. /etc/os-release; echo "$PRETTY_NAME, systemd $(systemctl --version | sed -n "1s/systemd //p"), cgroup v$(docker info -f {{.CgroupVersion}}), $(docker info -f {{.CgroupDriver}})"')"
}

stage_lab() {
  ready
  # The texts are written for the kubectl that the package has; this machine may have another.
  local bin
  bin=$dir/deb/$(dpkg --print-architecture)
  ln -sf wheelhouse "$bin/kubectl"
  inside "$bin/wheelhouse" lab author "$top"
  timed "lab run inspector from outside" inside env "PATH=$bin:$PATH" "$bin/wheelhouse" lab run inspector --slow 20
}

# pods: containers of pods on both machines, with what a restart would change.
pods() {
  for name in master worker; do
    on $name "docker ps -q --no-trunc --filter label=io.kubernetes.pod.uid | xargs -r docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Pid}}' | sort"
  done
}

spread() {
  kubectl apply -f - <<YAML
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kept}
spec:
  selector: {matchLabels: {app: kept}}
  template:
    metadata: {labels: {app: kept}}
    spec:
      containers:
      - {name: nginx, image: nginx, imagePullPolicy: IfNotPresent, volumeMounts: [{name: data, mountPath: /data}]}
      volumes: [{name: data, hostPath: {path: /srv/kept, type: DirectoryOrCreate}}]
YAML
  kubectl rollout status daemonset/kept --timeout=20m
  equal "pods that run" 2 "$(kubectl get pods -l app=kept --no-headers | grep -c Running)"
}

version() { dpkg-deb -f "$at/payload/$1.deb" Version; }

stage_upgrade() {
  local before after
  ready
  spread
  before=$(pods)
  for name in worker master; do
    timed "upgrade of the $name" install_on $name newer
    equal "version on the $name" "$(version newer)" "$(on $name "dpkg-query -W -f '\${Version}' wheelhouse")"
  done
  within 1200 "two nodes are Ready" nodes_ready
  # Both programs are the new ones, and have looked at each pod again.
  for name in master worker; do
    # shellcheck disable=SC2016 # the machine's variables
    equal "program of the node on the $name" "$(on $name 'stat -L -c %i /usr/bin/wheelhouse')" "$(on $name 'stat -L -c %i /proc/$(systemctl show -p MainPID --value wheelhouse-node)/exe')"
    verified $name
  done
  kubectl exec "$(kubectl get pods -l app=kept -o name | head -n 1)" -- true
  after=$(pods)
  equal "containers after the upgrade" "$before" "$after"
  equal "restarts" "0 0" "$(kubectl get pods -l app=kept -o jsonpath='{.items[*].status.containerStatuses[*].restartCount}')"
  seen "from $(version older) to $(version newer): $(echo "$after" | wc -l) containers went on"
}

# write RUN: a writer from outside, one object after the other, until one fails; the acknowledged ones are noted.
write() {
  local i=0
  while kubectl create configmap "written-$1-$i" --from-literal=n=$i --request-timeout=20s >/dev/null 2>&1; do
    echo "written-$1-$i" >>"$at/acknowledged"
    i=$((i + 1))
  done
}

acknowledged() { [ "$(wc -l <"$at/acknowledged")" -ge "$1" ]; }

# containers: those of the pods that an object says are ready.
containers() { kubectl get pods -l app=kept -o jsonpath='{range .items[*].status.containerStatuses[?(@.ready==true)]}{.containerID}{"\n"}{end}' | sort; }

# new_boot: both nodes are Ready, and their status has the boot that their machines are in: one
# from before the cut does not count.
new_boot() {
  local name boot
  nodes_ready || return 1
  for name in master worker; do
    boot=$(kubectl get node "$name" -o jsonpath='{.status.nodeInfo.bootID}') || return 1
    [ "$boot" = "$(on "$name" 'cat /proc/sys/kernel/random/boot_id')" ] || { echo "the status of $name has boot $boot"; return 1; }
  done
}

# pods_again BEFORE: both pods are ready in containers that were not among those before the cut.
pods_again() {
  local now
  now=$(containers)
  echo "$now"
  [ "$(echo "$now" | grep -c .)" = 2 ] && [ -z "$(comm -12 <(echo "$1") <(echo "$now"))" ]
}

stage_power() {
  local writer there before pod
  ready
  spread
  before=$(containers)
  equal "containers before the cut" 2 "$(echo "$before" | grep -c .)"
  on worker 'echo before >/srv/kept/file; sync'
  : >"$at/acknowledged"
  write "$(date +%s)" & # objects of an earlier run of this stage may be there
  writer=$!
  within 600 "a hundred writes" acknowledged 100
  vm master cut
  vm worker cut
  wait $writer
  seen "the power of both machines was cut after $(wc -l <"$at/acknowledged") acknowledged writes"
  vm master boot
  vm worker boot
  for name in master worker; do vm $name wait 2400; done
  timed "then both nodes are Ready, of the new boot" within 1200 "two nodes are Ready, of the new boot" new_boot
  there=$(kubectl get configmaps -o name | sed -n 's/^configmap\///p' | sort)
  equal "acknowledged writes that are lost" "" "$(sort "$at/acknowledged" | comm -23 - <(echo "$there"))"
  timed "and the pods are ready in new containers" within 1200 "pods run again" pods_again "$before"
  for pod in $(kubectl get pods -l app=kept -o name); do
    equal "the volume in $pod" yes "$(kubectl exec "$pod" -- sh -c 'test -d /data && echo yes')"
  done
  equal "the file of the pod" before "$(on worker 'cat /srv/kept/file')"
  equal "failed units" "" "$(for name in master worker; do on $name 'systemctl --failed --no-legend --plain | grep -E "wheelhouse|docker" || true'; done)"
}

stage_remove() {
  ready
  timed "apt-get purge on the worker" on worker 'DEBIAN_FRONTEND=noninteractive apt-get -q -y purge wheelhouse'
  equal "what is left on the worker" "" "$(on worker 'ls -d /etc/wheelhouse /var/lib/wheelhouse /usr/bin/wheelhouse /etc/default/wheelhouse-* 2>/dev/null; docker ps -aq; ip -br link show cbr0 2>/dev/null; iptables-save | grep -E "WHEELHOUSE|KUBE"; systemctl list-units --all --no-legend "wheelhouse*" "kubepods*"; mount | grep wheelhouse' || true)"
  seen "nothing of it is left"
  "$0" cut
}

stage_cut() { "$here/apart.sh" stop "$at"; }

"stage_${1:?a stage}"

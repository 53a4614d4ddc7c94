#!/usr/bin/env bash
# Stages of `make test-kits`: `vagrant up` itself, with libvirt and qemu's emulation of a processor,
# and our own box. The class is a copy of what a stick for the class has: the kit, labs, programs.
#
#   vagrant.sh STAGE     up, lab, halt, provision, rejoin or destroy; each goes on from those before
#
# WHEELHOUSE_KITS_DIR  see prove.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
dir=${WHEELHOUSE_KITS_DIR:-$top/bin/kits}
class=$dir/_class # the go command passes over a name with an underscore

export VAGRANT_HOME=$dir/vagrant VAGRANT_CHECKPOINT_DISABLE=1 VAGRANT_DEFAULT_PROVIDER=libvirt VAGRANT_NO_COLOR=1
export WHEELHOUSE_LIBVIRT_DRIVER=qemu WHEELHOUSE_CPUS=2 WHEELHOUSE_TIMEOUT=2400
export KUBECONFIG=$class/vagrant/kubeconfig PATH=$class/bin:$PATH

seen() { echo "seen: $*"; }
die() { echo "FAILED: $*" >&2; exit 1; }
inside() { "$here/libvirt.sh" run "$dir/libvirt" "$@"; }

# vagrant in the class's directory; its standard input is not the stage's.
class_vagrant() { (cd "$class/vagrant" && inside vagrant "$@" </dev/null); }
minion() { class_vagrant ssh minion-1 -c "$1" 2>/dev/null | tr -d '\r'; }
master() { class_vagrant ssh master -c "$1" 2>/dev/null | tr -d '\r'; }

# timed TEXT CMD...: runs it, and says how long it took.
timed() {
  local text=$1 began=$SECONDS
  shift
  "$@"
  seen "$text: $((SECONDS - began)) s"
}

# equal WHAT WANTED GOT
equal() { [ "$2" = "$3" ] || die "$1: want '$2', got '$3'"; }

# settings of this machine: files of the machines are not worth a sync here, and no screen is read.
settings() {
  mkdir -p "$VAGRANT_HOME" "$dir/pool"
  cat >"$VAGRANT_HOME/Vagrantfile" <<RUBY
Vagrant.configure("2") do |config|
  config.vm.provider :libvirt do |p|
    p.disk_driver cache: "unsafe"
    p.graphics_type = "none"
    p.cpu_mode, p.cpu_model = "custom", "Nehalem" # what is emulated fastest
    p.storage_pool_path = "$dir/pool"
  end
end
RUBY
}

copy() {
  rm -rf "$class"
  mkdir -p "$class"
  (cd "$top" && git ls-files -z -c -o --exclude-standard vagrant labs features | xargs -0 cp --parents -t "$class")
  mkdir "$class/bin"
  cp "$dir/deb/$(dpkg --print-architecture)/wheelhouse" "$class/bin/"
  ln -s wheelhouse "$class/bin/kubectl"
  ln -s wheelhouse "$class/bin/lab"
}

daemons() { "$here/libvirt.sh" start "$dir/libvirt"; }

# ready: the machines of an earlier stage run; after a break they are as after a power cut.
ready() {
  local states
  daemons
  states=$(class_vagrant status --machine-readable | awk -F, '$3 == "state" {print $4}' | sort -u)
  [ "$states" = running ] || timed "the machines were started again" class_vagrant up
}

validated() { # OUTPUT
  grep -q 'Found 1 nodes.' "$1" || die "validate-cluster has not found the minion"
  grep -q 'Cluster validation succeeded' "$1" || die "validate-cluster has not succeeded"
}

stage_up() {
  local box sum
  "$top/arm/setup.sh" vagrant=vagrant libvirtd=libvirt-daemon virsh=libvirt-clients dnsmasq=dnsmasq-base qemu-system-x86_64=qemu-system-x86 rsync=rsync
  vagrant plugin list | grep -q '^vagrant-libvirt ' || apt-get -q -y install --no-install-recommends vagrant-libvirt
  settings
  daemons
  # What an earlier run has left.
  if [ -d "$class" ]; then class_vagrant destroy -f || true; fi
  copy
  box=$dir/box/debian12-libvirt-$(dpkg --print-architecture).box
  sum=$(sha256sum "$box")
  if [ "$(cat "$VAGRANT_HOME/box-added" 2>/dev/null)" != "$sum" ]; then
    inside vagrant box remove -f --all wheelhouse/debian12 >/dev/null 2>&1 || true
    inside virsh -q -c qemu:///system vol-list default 2>/dev/null | awk '/^ *wheelhouse-/ {print $1}' | while read -r volume; do
      inside virsh -q -c qemu:///system vol-delete "$volume" default
    done
    timed "vagrant box add" inside vagrant box add --name wheelhouse/debian12 "$box"
    echo "$sum" >"$VAGRANT_HOME/box-added"
  fi
  timed "vagrant up, master" class_vagrant up master
  timed "vagrant up, minion-1" class_vagrant up minion-1 | tee "$dir/up.out"
  validated "$dir/up.out"
  equal "mode of the kubeconfig" 600 "$(stat -c %a "$KUBECONFIG")"
  inside kubectl get nodes -o wide
  equal "nodes from the host" "master minion-1" "$(inside kubectl get nodes -o jsonpath='{.items[*].metadata.name}')"
  equal "the minion's name" minion-1 "$(minion hostname)"
  equal "labs on the minion" "$(cd "$class/labs/workshop" && echo *)" "$(minion 'cd /labs/workshop && echo *')"
  # shellcheck disable=SC2016 # the machine's variables
  seen "vagrant ssh minion-1: $(minion '. /etc/os-release; echo "$PRETTY_NAME, $(uname -r), Docker $(docker version -f {{.Server.Version}}), $(docker info -f {{.CgroupDriver}}), cgroup v$(docker info -f {{.CgroupVersion}}), $(docker images -q | sort -u | wc -l) images"')"
  seen "systemd: $(master 'systemctl is-system-running') on the master, $(minion 'systemctl is-system-running') on the minion"
  for unit in wheelhouse-server wheelhouse-node; do
    master "systemd-analyze verify --man=no $unit.service 2>&1 || true" | tee "$dir/verify.out"
    [ ! -s "$dir/verify.out" ] || die "systemd-analyze verify $unit"
  done
  seen "memory in use: master $(master "free -m | awk '/Mem:/ {print \$3\" of \"\$2}'") MB, minion $(minion "free -m | awk '/Mem:/ {print \$3\" of \"\$2}'") MB"
}

# lab NAME: run from the host, while Docker's events on the minion show its containers.
run_lab() {
  local began started
  began=$(minion 'date +%s')
  inside lab author "$top"
  timed "lab run $1 from the host" inside lab run "$1" --slow 20
  started=$(minion "docker events --since $began --until \$(date +%s) --filter type=container --filter event=start --format '{{index .Actor.Attributes \"io.kubernetes.pod.name\"}} {{.Actor.Attributes.image}}' | sort -u")
  [ -n "$started" ] || die "docker events on the minion shows no container of the lab"
  seen "docker events on the minion: $(echo "$started" | grep -c .) containers started, such as: $(echo "$started" | tail -n 1)"
}

stage_lab() {
  ready
  run_lab crash-loop # the workshop's labs need two minions, or a way from the host to pods
}

stage_halt() {
  ready
  inside kubectl create configmap kept --from-literal=value=before --dry-run=client -o yaml | inside kubectl apply -f -
  inside kubectl create deployment kept --image=nginx --replicas=2 --dry-run=client -o yaml | inside kubectl apply -f -
  inside kubectl patch deployment kept --type=json -p '[{"op":"add","path":"/spec/template/spec/containers/0/imagePullPolicy","value":"IfNotPresent"}]'
  inside kubectl rollout status deployment/kept --timeout=20m
  timed "vagrant halt" class_vagrant halt
  timed "vagrant up again" class_vagrant up | tee "$dir/again.out"
  validated "$dir/again.out"
  equal "the data" before "$(inside kubectl get configmap kept -o jsonpath='{.data.value}')"
  timed "the deployment is back" inside kubectl rollout status deployment/kept --timeout=20m
  run_lab secret-key
}

# pids of the services, and the containers: what must stay.
running_now() {
  for machine in master minion-1; do
    class_vagrant ssh $machine -c 'hostname; systemctl show -p MainPID --value wheelhouse-server wheelhouse-node docker | xargs; docker ps -q --no-trunc | sort' 2>/dev/null | tr -d '\r'
  done
}

stage_provision() {
  local before after
  ready
  # With the archive: it is put into the machines, and has what they have.
  ln -sf "$dir/wheelhouse-kit.tar" "$class/vagrant/wheelhouse-kit.tar"
  before=$(running_now)
  timed "vagrant provision" class_vagrant provision | tee "$dir/provision.out"
  validated "$dir/provision.out"
  rm "$class/vagrant/wheelhouse-kit.tar"
  after=$(running_now)
  equal "processes and containers after vagrant provision" "$before" "$after"
  seen "services and $(echo "$after" | grep -cE '^[0-9a-f]{64}$') containers went on"
}

stage_rejoin() {
  ready
  timed "vagrant destroy minion-1" class_vagrant destroy -f minion-1
  equal "nodes after it" master "$(inside kubectl get nodes -o jsonpath='{.items[*].metadata.name}')"
  timed "vagrant up minion-1" class_vagrant up minion-1 | tee "$dir/rejoin.out"
  validated "$dir/rejoin.out"
  timed "the deployment is back" inside kubectl rollout status deployment/kept --timeout=20m
  equal "the node of its pods" minion-1 "$(inside kubectl get pods -l app=kept -o jsonpath='{.items[*].spec.nodeName}' | xargs -n 1 | sort -u)"
}

stage_destroy() {
  daemons
  timed "vagrant destroy" class_vagrant destroy -f
  equal "domains left" "" "$(inside virsh -q -c qemu:///system list --all)"
  equal "networks left" "" "$(inside virsh -q -c qemu:///system net-list --all)"
  equal "disks left" "" "$(inside virsh -q -c qemu:///system vol-list default | awk '!/box/ {print $1}')"
  equal "bridges left" "" "$(inside ip -br link show type bridge)"
  equal "tokens left" "" "$(find "$class/vagrant/.state" -type f -size +0)"
  [ ! -e "$KUBECONFIG" ] || die "the kubeconfig of the destroyed class is left"
  "$here/libvirt.sh" stop "$dir/libvirt"
}

"stage_${1:?a stage}"

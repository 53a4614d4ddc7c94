#!/usr/bin/env bash
# Runs the virtual machine that image.sh has built. Its disk is a copy that is written beside the
# image; its network reaches nothing but this machine's loopback, through a port for SSH.
#
#   vm.sh start DIR [DISK]    boots it from a fresh copy of DIR/DISK; DIR/payload is /payload there
#   vm.sh boot DIR            boots it as it was left
#   vm.sh ssh DIR [CMD...]    runs a command there as root, with standard input and exit status
#   vm.sh wait DIR SECONDS    until it can be logged in to
#   vm.sh down DIR SECONDS    until it has powered off on its own; a reboot does that, too
#   vm.sh stop DIR            powers it off
#   vm.sh cut DIR             cuts its power
set -euo pipefail

die() { echo "vm: $*" >&2; exit 1; }

verb=${1:?start, boot, ssh, wait, down, stop or cut}
dir=$(realpath "${2:?the directory of the image}")
shift 2
memory=${WHEELHOUSE_VM_MEMORY:-3072}
network=()
# A second network, in qemu's words, and the last number of the machine's address there.
if [ -n "${WHEELHOUSE_VM_NETDEV:-}" ]; then
  network=(-netdev "$WHEELHOUSE_VM_NETDEV,id=kit" -device "virtio-net-pci,netdev=kit,mac=52:54:00:f5:09:0${WHEELHOUSE_VM_NUMBER:-2}")
fi

# alive: the process runs. After a reset of this machine its number may be another's.
alive() { [ -f "$dir/pid" ] && tr '\0' ' ' <"/proc/$(cat "$dir/pid")/cmdline" 2>/dev/null | grep -qF -- "$dir"; }

# command: ssh to the machine; one connection serves all commands of a boot.
command() {
  ssh -q -F none -p "$(cat "$dir/port")" -i "$dir/id" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o ControlMaster=auto -o ControlPath="$dir/ssh" -o ControlPersist=yes -o ConnectTimeout=60 -o ServerAliveInterval=60 \
    root@127.0.0.1 "$@"
}

# accelerator: the processor's own where this machine has that, else emulation.
accelerator() {
  if [ -w /dev/kvm ] && grep -qE '\b(vmx|svm)\b' /proc/cpuinfo; then
    echo -accel kvm -cpu host
  else
    echo -accel tcg,thread=multi,tb-size=512 -cpu Nehalem
  fi
}

# patience: an emulated machine beside other work may take longer than the 90 seconds that systemd gives a unit to start, and
# than the ten ticks in which the kernel checks that the timer works.
patience() {
  [ "${accel[1]}" = kvm ] || echo no_timer_check systemd.default_timeout_start_sec=900 systemd.default_device_timeout_sec=900
}

boot() {
  ! alive || die "it runs already, as process $(cat "$dir/pid")"
  local port accel
  rm -f "$dir/ssh"
  read -ra accel <<<"$(accelerator)"
  for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    if nice -n 10 qemu-system-x86_64 "${accel[@]}" -machine q35 -smp 2 -m "$memory" -nodefaults -no-reboot -display none \
      -kernel "$dir/vmlinuz" -initrd "$dir/initrd.img" -append "root=/dev/vda rw console=ttyS0 quiet panic=-1 $(patience)" \
      -drive "file=$dir/run.qcow2,if=virtio,cache=unsafe" \
      -netdev "user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=n "${network[@]}" \
      -virtfs "local,path=$dir/payload,mount_tag=payload,security_model=none,readonly=on" \
      -device virtio-rng-pci -serial "file:$dir/console.log" -pidfile "$dir/pid" -daemonize 2>"$dir/qemu.log"; then
      echo "$port" >"$dir/port"
      return 0
    fi
    grep -q 'Could not set up host forwarding' "$dir/qemu.log" || break
  done
  die "qemu: $(cat "$dir/qemu.log")"
}

await() {
  local deadline=$((SECONDS + $1))
  until command true 2>/dev/null; do
    alive || die "the machine has ended; the last lines of its console: $(tail -5 "$dir/console.log")"
    [ $SECONDS -lt $deadline ] || die "no login after $1 s; the last lines of its console: $(tail -5 "$dir/console.log")"
    sleep 1
  done
}

# ended: until the process of the machine is gone.
ended() {
  local deadline=$((SECONDS + $1))
  while alive; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 1
  done
  rm -f "$dir/pid" "$dir/ssh"
}

case $verb in
start)
  mkdir -p "$dir/payload"
  ! alive || die "it runs already, as process $(cat "$dir/pid")"
  rm -f "$dir/run.qcow2"
  disk=${1:-disk.raw}
  qemu-img create -q -f qcow2 -F "${disk##*.}" -b "$disk" "$dir/run.qcow2"
  boot
  ;;
boot) boot ;;
ssh) command "$@" ;;
wait) await "${1:-600}" ;;
down) ended "${1:-600}" || die "it runs still" ;;
stop)
  alive || exit 0
  command systemctl poweroff 2>/dev/null || true
  ended 300 || die "it does not power off"
  ;;
cut)
  alive || exit 0
  kill -KILL "$(cat "$dir/pid")"
  ended 10
  ;;
*) die "$verb: want start, boot, ssh, wait, down, stop or cut" ;;
esac

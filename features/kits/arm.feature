Feature: The package and kube-config on a machine of its own
  A master and workers, each with the Debian package on a disk of its own and a network of its own, on one switch.
  systemctl alone is a stand-in: it runs the server's unit as written, and notes the node's.

  @P1
  Scenario: from the package to a master and a worker
    Given machines "master" and "desk-3" with the package installed
    Then on "master" `kube-config info` prints:
      """
      Architecture: .+
      Kernel: Linux \d.+
      CPU: \d+ cores.*

      Used RAM Memory: \d+ MiB
      RAM Memory: \d+ MiB

      Used disk space: .+B \(\d+ KB\)
      Free disk space: .+B \(\d+ KB\)

      SD Card/deb package was built: \d\d-\d\d-\d{4} \d\d:\d\d

      wheelhouse:
      Latest commit: [0-9a-f]{9}
      Version: \d+\.\d+\.\d+

      systemd version: v252
      docker version: unknown
      kubernetes client version: v1.36.3

      Role: none
      Needs: a Docker Engine that answers: .+
      """
    And on "master" `kube-config install` prints:
      """
      Checks so the kernel has all control groups
      Checks swap
      Loads kernel modules and settings
      Checks so all images are present
      This machine is ready. .+
      """
    And on "desk-3" `kube-config enable-worker 10.245.9.2` fails with "kube-config token"
    And on "desk-3" `kube-config token` fails with "no master"
    And on "master" `kube-config enable-master --address 10.245.9.2` prints:
      """
      Disabling k8s if it is running
      Checks so all images are present
      Created symlink /etc/systemd/system/multi-user.target.wants/wheelhouse-server.service.+
      Created symlink /etc/systemd/system/multi-user.target.wants/wheelhouse-node.service.+
      Kubernetes master services enabled
      .*kube-config token.*
      """
    And on "master" `kubectl get --raw /readyz` prints:
      """
      ok
      """
    And on "master" `kubectl cluster-info | sed 's/\x1b\[[0-9;]*m//g' | sed -n 1p` prints:
      """
      Kubernetes control plane is running at https://10.245.9.2:6443
      """
    # The document's address, for who asks for it: a proxy of one's own instead of a port that is open to all.
    And on "master" `kubectl proxy --port 8080 >/dev/null & until curl -sf localhost:8080/readyz >/dev/null; do sleep .1; done; kubectl -s http://localhost:8080 cluster-info | sed 's/\x1b\[[0-9;]*m//g' | sed -n 1p; kill $!` prints:
      """
      Kubernetes control plane is running at http://localhost:8080
      """
    And on "master" `cat /run/units/wheelhouse-node.service` prints:
      """
      /usr/bin/wheelhouse node --kubeconfig /var/lib/wheelhouse/server/10.245.9.2.kubeconfig --name 10.245.9.2 --address 10.245.9.2 --pod-cidr 10.246.2.0/24 --state-dir /var/lib/wheelhouse/node --host-root /
      """
    When on "master" `kube-config token` is noted
    Then on "desk-3" the noted command with `--address 10.245.9.3 --name desk-3` prints:
      """
      Disabling k8s if it is running
      Using master ip: 10.245.9.2
      Checks so all images are present
      Starting worker components
      Created symlink /etc/systemd/system/multi-user.target.wants/wheelhouse-node.service.+
      Kubernetes worker services enabled
      """
    And on "desk-3" `kubectl --kubeconfig /var/lib/wheelhouse/node/node.kubeconfig auth whoami -o jsonpath='{.status.userInfo.username}'` prints:
      """
      system:node:desk-3
      """
    And on "desk-3" `stat -c %a /var/lib/wheelhouse/node/node.kubeconfig; kube-config info | grep Role` prints:
      """
      600
      Role: worker
      """
    # The token was for one worker, and a worker that has joined needs none.
    And on "desk-3" the noted command with `--address 10.245.9.4 --name desk-4` fails with "joining https://10.245.9.2:6443"
    And on "desk-3" `kube-config enable-worker 10.245.9.2 --address 10.245.9.3 --name desk-3 | tail -1` prints:
      """
      Kubernetes worker services enabled
      """
    And on "master" `kube-config enable-addon` prints:
      """
      loadbalancer
      monitoring
      registry
      """
    And on "master" `kube-config enable-addon registry | tail -1` prints:
      """
      Add-on registry enabled
      """
    And on "master" `lab list | sed -n 2p` prints:
      """
      .*influxdb.*
      """
    # An upgrade stops nothing and keeps what runs.
    When on "master" the package is installed again
    Then on "master" `kubectl get --raw /readyz` prints:
      """
      ok
      """
    And on "master" `kube-config delete-data --yes` fails with "disable-node"
    And on "master" `systemctl disable --now wheelhouse-node.service wheelhouse-server.service; kube-config delete-data --yes` prints:
      """
      All Kubernetes data in /var/lib/wheelhouse is deleted
      """
    And on "desk-3" `dpkg --purge wheelhouse >/dev/null 2>&1; { ls -d /etc/wheelhouse /var/lib/wheelhouse /usr/bin/wheelhouse 2>&1 || true; } | grep -c 'No such file'` prints:
      """
      3
      """

  # The code has the authority's pin and a secret of 40 bits. What a master is called and where it is comes from the
  # network, where anybody can say anything.
  @P1
  Scenario: a worker finds its master with a code, among false ones
    Given machines "master", "stranger" and "desk-3" with the package installed
    When on "stranger" `kube-config enable-master` is run
    And on "master" `kube-config enable-master` is run
    And on "master" `kube-config code` is noted
    Then on "desk-3" the noted command with `--name desk-3 | grep -v "^The master at 10.245.9.3:6443 is another cluster's"` prints:
      """
      Looking for the master on this network
      Disabling k8s if it is running
      Using master ip: 10.245.9.2
      Checks so all images are present
      Starting worker components
      Created symlink /etc/systemd/system/multi-user.target.wants/wheelhouse-node.service.+
      Kubernetes worker services enabled
      """
    And on "desk-3" `kubectl --kubeconfig /var/lib/wheelhouse/node/node.kubeconfig auth whoami -o jsonpath='{.status.userInfo.username}'` prints:
      """
      system:node:desk-3
      """
    # The code was for one worker.
    And on "desk-3" the noted command with `--name desk-4` fails with "joining https://10.245.9.2:6443"
    # The master that it was for is off: the other one is not taken, whatever it announces, and no secret is sent to it.
    When on "master" `kube-config code` is noted
    And on "master" `systemctl disable --now wheelhouse-server.service` is run
    Then on "desk-3" the noted command with `--name desk-5 --timeout 20s` fails with "no master of this cluster is found"
    And on "stranger" `grep -c 'bootstrap token' /run/server.log || true` prints:
      """
      0
      """
    # Somebody who has the id of a code tries its secret, from addresses enough for each source's limit. After 32
    # wrong ones the right code is refused, too.
    When on "master" `kube-config enable-master` is run
    And on "master" `kube-config code` is noted
    And on "stranger" 40 secrets are tried for the noted code
    Then on "desk-3" the noted command with `--name desk-6` fails with "Unauthorized"
    When on "master" `kube-config code --count 2 --ttl 1h` is noted
    Then on "desk-3" the noted command with `--name desk-6 | tail -1` prints:
      """
      Kubernetes worker services enabled
      """
    # A master that does not announce itself is found by its address only.
    When on "master" `kube-config enable-master --hidden` is run
    Then on "desk-3" the noted command with `--name desk-7 --timeout 20s` fails with "another cluster"
    And on "desk-3" the noted command with `10.245.9.2 --name desk-7 | tail -1` prints:
      """
      Kubernetes worker services enabled
      """

  # What an SD card does at its machine's first start: the class's keys and code were made before there was a master.
  @P1
  Scenario: cards of a class find each other
    Given machines "master" and "pi-2" with the package installed
    When on "master" `kube-config new-class /tmp/class` is run
    And "master" starts for the first time with a card for a master of the class
    # Cut off before it had removed its settings, it starts again.
    And "master" starts for the first time with a card for a master of the class
    And "pi-2" starts for the first time with a card for a worker of the class
    Then on "pi-2" `kubectl --kubeconfig /var/lib/wheelhouse/node/node.kubeconfig auth whoami -o jsonpath='{.status.userInfo.username}'` prints:
      """
      system:node:pi-2
      """
    And on "pi-2" `ls -d /etc/wheelhouse/card` fails with "No such file"
    And on "master" `ls -d /etc/wheelhouse/card` fails with "No such file"
    And on "master" `stat -c %a /var/lib/wheelhouse/server /var/lib/wheelhouse/server/pki/ca.key` prints:
      """
      700
      600
      """

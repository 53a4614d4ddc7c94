# hard is kubectl for the second cluster.
hard() { kubectl --kubeconfig /var/lib/hard-way/server/admin.kubeconfig "$@"; }

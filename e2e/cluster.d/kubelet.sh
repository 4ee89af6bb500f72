# shellcheck shell=bash disable=SC2154  # sourced by e2e/cluster, which sets the variables
# The kubelet, kube-proxy, and the cgroups that pods run in.

# Below a cgroup of ours, so that tearing down cannot meet another kubelet's pods.
cgroup_name=imarchive

start_kubelet() {
  make_cgroups
  mkdir -p "$state/kubelet"
  cat >"$state/kubelet/config.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_address
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: "$pki/ca.crt"}
authorization: {mode: Webhook}
tlsCertFile: "$pki/kubelet-server.crt"
tlsPrivateKeyFile: "$pki/kubelet-server.key"
containerRuntimeEndpoint: "unix://$containerd_socket"
clusterDNS: [$node_address]
clusterDomain: cluster.local
resolvConf: "$state/resolv.conf"
podLogsDir: "$logs/pods"
volumePluginDir: "$state/kubelet/volume-plugins"
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup_name
failSwapOn: false
makeIPTablesUtilChains: false
oomScoreAdj: 0
# A developer's disk is often nearly full, and cannot always be measured; neither must cost the tests their pods.
localStorageCapacityIsolation: false
evictionHard: {memory.available: 50Mi}
# How soon a pod sees what changed in a Secret that it mounts: a minute and a half is long for a test.
syncFrequency: 10s
# There is no registry to pull a collected image from again.
imageGCHighThresholdPercent: 100
EOF
  start kubelet "$tools/kubelet" --config="$state/kubelet/config.yaml" --kubeconfig="$pki/kubelet.kubeconfig" \
    --root-dir="$state/kubelet" --cert-dir="$state/kubelet/pki" --hostname-override="$node" --node-ip="$node_address"
}

await_node() {
  await kubelet 60 "node Ready" kubectl wait --for=condition=Ready "node/$node" --timeout=1s
}

start_kube_proxy() {
  # nftables needs no legacy modules; conntrack's limits belong to the machine, which is not ours to set.
  start kube-proxy "$tools/kube-proxy" --kubeconfig="$pki/kube-proxy.kubeconfig" --hostname-override="$node" \
    --proxy-mode=nftables --cluster-cidr="$pod_range" --conntrack-max-per-core=0 --oom-score-adj=0 \
    --bind-address="$node_address" --healthz-bind-address=127.0.0.1 --metrics-bind-address=127.0.0.1
}

# ---- cgroups ----

# Ours in every hierarchy: there is one in version 2, and one a controller in version 1.
cgroup_directories() { findmnt -rn -t cgroup,cgroup2 -o TARGET | sed "s|\$|/$cgroup_name|"; }

make_cgroups() {
  local directory
  for directory in $(cgroup_directories); do mkdir -p "$directory"; done
}

# Every process of every pod.
kill_cgroups() {
  local directory pids _
  for _ in {1..50}; do
    pids=$(for directory in $(cgroup_directories); do
      find "$directory" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done | sort -u)
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086  # one word a process
    kill -9 $pids 2>/dev/null || true
    sleep 0.1
  done
}

remove_cgroups() {
  local directory
  for directory in $(cgroup_directories); do
    if [ -d "$directory" ]; then find "$directory" -depth -type d -exec rmdir {} +; fi
  done
}

# The kubelet links each container's log there, whatever its root directory.
remove_container_log_links() {
  [ -d /var/log/containers ] || return 0
  find /var/log/containers -lname "$logs/*" -delete
  rmdir --ignore-fail-on-non-empty /var/log/containers
}

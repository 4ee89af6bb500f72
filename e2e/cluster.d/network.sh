# shellcheck shell=bash disable=SC2154  # sourced by e2e/cluster, which sets the variables
# The node's network namespace. Pods get namespaces of their own, joined to this one by veth pairs.

network_file=/var/run/netns/$namespace

# Not `ip netns exec`: that remounts /sys for the new namespace and hides the cgroups from the kubelet.
in_network() { nsenter --net="$network_file" "$@"; }

make_network() {
  ip netns add "$namespace"
  ip -n "$namespace" link set lo up
  # A bridge without ports, since not every kernel has the dummy driver. The default route over it leads nowhere, but
  # must be there: without a route to a Service's address the packet is refused before kube-proxy's rules see it.
  ip -n "$namespace" link add node type bridge
  ip -n "$namespace" address add "$node_address/32" dev node
  ip -n "$namespace" link set node up
  ip -n "$namespace" route add default dev node
  cat >"$state/resolv.conf" <<EOF
nameserver $node_address
options timeout:2 attempts:2
EOF
}

# Whatever lives in the node's network came from the node, as the shims of its pods, or from `cluster exec`, and ends with
# it; except the caller of a `cluster down` from inside.
stop_processes_of_network() {
  local signal pids
  [ -e "$network_file" ] || return 0
  for signal in TERM KILL; do
    pids=$(ip netns pids "$namespace" | grep -vxF "$(own_ancestors)") || break
    # shellcheck disable=SC2086  # one word a process
    kill -s "$signal" $pids 2>/dev/null || true
    sleep 0.5
  done
}

own_ancestors() {
  local pid=$BASHPID
  while [ "$pid" -gt 0 ]; do
    echo "$pid"
    pid=$(awk '/^PPid:/ {print $2}' "/proc/$pid/status")
  done
}

remove_network() {
  if [ -e "$network_file" ]; then ip netns delete "$namespace"; fi
}

# shellcheck shell=bash disable=SC2154  # sourced by e2e/cluster, which sets the variables
# DNS for pods and for `cluster exec`: Services, the test archives' names, and nothing else in the world.

archive_names=(journal vault selfsigned relay untrusted)

start_dns() {
  local name
  # Tests may change this file: it is read again within a second.
  for name in "${archive_names[@]}"; do echo "$node_address $name.archive.example"; done >"$state/hosts"
  cat >"$state/Corefile" <<EOF
. {
  bind $node_address
  errors
  kubernetes cluster.local {
    kubeconfig $pki/coredns.kubeconfig
  }
  hosts $state/hosts archive.example {
    ttl 1
    reload 500ms
    fallthrough
  }
  # Everything else: not the default SERVFAIL or REFUSED, which resolvers take for a passing failure and ask again.
  template ANY ANY {
    rcode NXDOMAIN
  }
}
EOF
  start coredns "$tools/coredns" -conf "$state/Corefile"
}

await_dns() {
  await coredns 30 "CoreDNS answers" \
    in_network busybox nslookup kubernetes.default.svc.cluster.local "$node_address"
}

# shellcheck shell=bash disable=SC2154  # sourced by e2e/cluster, which sets the variables
# etcd, the API server, the controllers and the scheduler.

kubectl() { in_network "$tools/kubectl" --kubeconfig "$kubeconfig" "$@"; }

start_etcd() {
  # Without fsync: nothing here outlives `down`, and on a slow disk etcd's syncs would stall the whole node.
  start etcd etcd --name "$node" --data-dir "$state/etcd" --unsafe-no-fsync --logger=zap --log-level=warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
  await etcd 20 "etcd ready" in_network etcdctl endpoint health
}

start_api_server() {
  local issuer=https://kubernetes.default.svc.cluster.local
  write_audit_policy
  # SizeBasedListCostEstimate needs progress reports from etcd, which Debian's is too old for: it would time out for ever.
  start kube-apiserver "$tools/kube-apiserver" \
    --etcd-servers=http://127.0.0.1:2379 \
    --bind-address="$node_address" --advertise-address="$node_address" \
    --service-cluster-ip-range="$service_range" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --client-ca-file="$pki/ca.crt" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --service-account-issuer="$issuer" --service-account-jwks-uri="$issuer/openid/v1/jwks" \
    --service-account-key-file="$pki/service-account.key" \
    --service-account-signing-key-file="$pki/service-account.key" \
    --kubelet-certificate-authority="$pki/ca.crt" \
    --kubelet-client-certificate="$pki/apiserver-kubelet.crt" --kubelet-client-key="$pki/apiserver-kubelet.key" \
    --kubelet-preferred-address-types=InternalIP \
    --audit-policy-file="$state/audit-policy.yaml" --audit-log-path="$logs/audit.log" --audit-log-maxsize=500 \
    --audit-log-maxbackup=2 \
    --feature-gates=SizeBasedListCostEstimate=false
}

# Who asked for what, for tests of what the operator and the archiver touch.
write_audit_policy() {
  cat >"$state/audit-policy.yaml" <<'EOF'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*"]
- level: Metadata
EOF
}

await_api_server() {
  await kube-apiserver 60 "API server ready" kubectl get --raw /readyz
}

restart_api_server() {
  stop_api_server
  start_api_server_again
}

stop_api_server() {
  one_at_a_time
  is_up || die "the node is not up: e2e/cluster up"
  stop kube-apiserver
}

start_api_server_again() {
  one_at_a_time
  is_up || die "the node is not up: e2e/cluster up"
  # shellcheck disable=SC2034  # await counts from here
  started=$SECONDS
  is_running kube-apiserver || start_api_server
  await_api_server
}

# What the components that kubeadm would set up need beyond the API server's own defaults.
make_cluster_objects() {
  kubectl apply -f - >/dev/null <<EOF
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: apiserver-kubelet}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:kubelet-api-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: apiserver-kubelet}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:coredns}
rules:
- {apiGroups: [""], resources: [services, pods, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: system:coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:coredns}]
EOF
}

start_controllers() {
  # Each is alone, so it need not wait to be elected.
  start kube-controller-manager "$tools/kube-controller-manager" --kubeconfig="$pki/kube-controller-manager.kubeconfig" \
    --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials \
    --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/service-account.key" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --flex-volume-plugin-dir="$state/kubelet/volume-plugins"
  start kube-scheduler "$tools/kube-scheduler" --kubeconfig="$pki/kube-scheduler.kubeconfig" \
    --bind-address=127.0.0.1 --leader-elect=false
}

# Whoever makes a pod as soon as the node is up needs the ServiceAccount that the controllers make.
await_controllers() {
  await kube-controller-manager 30 "controllers ready" kubectl get serviceaccount default
}

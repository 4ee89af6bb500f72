# shellcheck shell=bash disable=SC2154  # sourced by e2e/cluster, which sets the variables
# The cluster's certificate authority, the components' certificates and their kubeconfigs.

make_certificates() {
  mkdir -p "$pki"
  openssl ecparam -genkey -name prime256v1 -noout -out "$pki/ca.key"
  openssl req -x509 -new -key "$pki/ca.key" -subj "/CN=imarchive test node" -days 365 -out "$pki/ca.crt" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,digitalSignature"

  certify apiserver "/CN=kube-apiserver" "extendedKeyUsage=serverAuth
subjectAltName=IP:$node_address,IP:$api_service_address,IP:127.0.0.1,DNS:localhost,DNS:$node,\
DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
  certify kubelet-server "/CN=$node" "extendedKeyUsage=serverAuth
subjectAltName=IP:$node_address,DNS:$node"
  certify apiserver-kubelet "/CN=apiserver-kubelet" "extendedKeyUsage=clientAuth"

  certify_client admin "/O=system:masters/CN=admin"
  certify_client kubelet "/O=system:nodes/CN=system:node:$node"
  certify_client kube-controller-manager "/CN=system:kube-controller-manager"
  certify_client kube-scheduler "/CN=system:kube-scheduler"
  certify_client kube-proxy "/CN=system:kube-proxy"
  certify_client coredns "/CN=system:coredns"
  cp "$pki/admin.kubeconfig" "$kubeconfig"

  # RSA, because that is what the tokens of nearly every real cluster are signed with.
  openssl genrsa -out "$pki/service-account.key" 2048 2>/dev/null
}

certify() {
  local name=$1 subject=$2 extensions=$3
  openssl ecparam -genkey -name prime256v1 -noout -out "$pki/$name.key"
  openssl req -new -key "$pki/$name.key" -subj "$subject" |
    openssl x509 -req -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -set_serial "0x$(openssl rand -hex 8)" -days 365 \
      -extfile <(echo "$extensions") -out "$pki/$name.crt" 2>/dev/null
}

# A client certificate, and a self-contained kubeconfig with it.
certify_client() {
  local name=$1 subject=$2
  certify "$name" "$subject" "extendedKeyUsage=clientAuth"
  cat >"$pki/$name.kubeconfig" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: imarchive
  cluster: {server: "$api_server", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}
users:
- name: $name
  user: {client-certificate-data: $(base64 -w0 "$pki/$name.crt"), client-key-data: $(base64 -w0 "$pki/$name.key")}
contexts:
- name: imarchive
  context: {cluster: imarchive, user: $name}
current-context: imarchive
EOF
  chmod 600 "$pki/$name.kubeconfig"
}

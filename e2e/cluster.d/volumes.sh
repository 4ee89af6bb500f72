# shellcheck shell=bash disable=SC2154  # sourced by e2e/cluster, which sets the variables
# The default StorageClass: a stock of local directories, which nothing provisions, so they are wiped and used again.

volumes=$state/volumes
volume_count=24

make_volumes() {
  local number
  {
    cat <<'EOF'
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: local
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
EOF
    for number in $(seq -w "$volume_count"); do
      mkdir -p "$volumes/pv$number"
      volume_manifest "pv$number"
    done
  } | kubectl apply --server-side -f - >/dev/null
}

# Retain, since only a provisioner can carry out Delete.
volume_manifest() {
  cat <<EOF
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $1}
spec:
  storageClassName: local
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: "$volumes/$1"}
  nodeAffinity:
    required:
      nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$node]}]}]
EOF
}

start_recycler() { start volume-recycler "$here/cluster" recycle-volumes; }

# Empties each volume whose claim is gone and offers it again. Runs inside the node's network already, until killed.
recycle_volumes() {
  local name version phase claim
  while true; do
    # The server ends a watch after some minutes.
    while read -r name version phase claim; do
      if [ "$phase" = Released ] && [ -n "$claim" ]; then recycle_volume "$name" "$version"; fi
    done < <(kubectl get pv --watch -o jsonpath="{.metadata.name} {.metadata.resourceVersion} {.status.phase} \
{.spec.claimRef.uid}{'\n'}")
    sleep 1
  done
}

# Only the version that was seen as released: a later one may already belong to the next claim.
recycle_volume() {
  local name=$1 version=$2
  [ -d "$volumes/$name" ] || return 0
  rm -rf "${volumes:?}/$name"
  mkdir "$volumes/$name"
  kubectl patch pv "$name" --type=merge \
    -p "{\"metadata\":{\"resourceVersion\":\"$version\"},\"spec\":{\"claimRef\":null}}" || true
}

# shellcheck shell=bash disable=SC2154  # sourced by e2e/cluster, which sets the variables
# The default StorageClass: a stock of local directories, which nothing provisions, so they are wiped and used again. Its
# volumes cannot grow. Those of the class `growing` may be asked to, and wait for ever for somebody who does it.

volumes=$state/volumes
volume_count=32
growing_volume_count=2

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
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: growing
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
EOF
    for number in $(seq -w "$volume_count"); do make_volume local "pv$number"; done
    for number in $(seq -w "$growing_volume_count"); do make_volume growing "growing$number"; done
  } | kubectl apply --server-side -f - >/dev/null
}

make_volume() {
  mkdir -p "$volumes/$2"
  volume_manifest "$1" "$2"
}

# Retain, since only a provisioner can carry out Delete.
volume_manifest() {
  cat <<EOF
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $2}
spec:
  storageClassName: $1
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: "$volumes/$2"}
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

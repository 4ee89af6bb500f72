# shellcheck shell=bash disable=SC2154  # sourced by e2e/cluster, which sets the variables
# containerd, the pods' network plugin, and the images that the node begins with.

containerd_socket=$state/containerd/containerd.sock
container_state=$state/containerd/state

ctr() { in_network ctr --address "$containerd_socket" --namespace k8s.io "$@"; }

start_containerd() {
  write_containerd_config
  write_pod_network_config
  start containerd containerd --config "$state/containerd/config.toml"
  await containerd 20 "containerd ready" ctr version
}

write_containerd_config() {
  mkdir -p "$state/containerd"
  # restrict_oom_score_adj: a root without CAP_SYS_RESOURCE may not lower the score, and runc would fail to start anything.
  # netns_mounts_under_state_dir, Root, opt: so that all of it is ours to remove.
  cat >"$state/containerd/config.toml" <<EOF
version = 2
root = "$state/containerd/root"
state = "$container_state"

[grpc]
address = "$containerd_socket"

[plugins."io.containerd.internal.v1.opt"]
path = "$state/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/pause:e2e"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$state/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "$state/containerd/runc"
SystemdCgroup = false
EOF
}

# Point to point and not a bridge: the answers of a Service whose pod is on the same bridge would pass kube-proxy's rules
# by, unless the kernel also filters bridged frames. Neither enforces a NetworkPolicy.
write_pod_network_config() {
  mkdir -p "$state/cni"
  cat >"$state/cni/10-pods.conflist" <<EOF
{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "ptp",
      "ipam": {
        "type": "host-local",
        "dataDir": "$state/cni/addresses",
        "ranges": [[{"subnet": "$pod_range"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    }
  ]
}
EOF
}

# ---- images ----

# Two images of the same static busybox: `pause`, which holds a pod's namespaces, and `busybox:e2e` for pods of tests.
import_own_images() {
  local work=$state/images applet layer
  mkdir -p "$work/root/bin" "$work/root/etc" "$work/root/tmp"
  cp "$(command -v busybox)" "$work/root/bin/busybox"
  for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -s busybox "$work/root/bin/$applet"; done
  echo 'root:x:0:0:root:/:/bin/sh' >"$work/root/etc/passwd"
  chmod 1777 "$work/root/tmp"
  tar -C "$work/root" --owner=0 --group=0 --numeric-owner -cf "$work/layer.tar" .
  layer=sha256:$(sha256sum <"$work/layer.tar" | cut -d ' ' -f 1)
  image_config "$layer" '"Entrypoint": ["/bin/busybox", "sleep", "inf"]' >"$work/pause.json"
  image_config "$layer" '"Cmd": ["/bin/sh"]' >"$work/busybox.json"
  cat >"$work/manifest.json" <<'EOF'
[
  {"Config": "pause.json", "RepoTags": ["docker.io/library/pause:e2e"], "Layers": ["layer.tar"]},
  {"Config": "busybox.json", "RepoTags": ["docker.io/library/busybox:e2e"], "Layers": ["layer.tar"]}
]
EOF
  tar -C "$work" -cf "$work/images.tar" manifest.json pause.json busybox.json layer.tar
  ctr images import "$work/images.tar" >"$logs/images.log" 2>&1 || {
    cat "$logs/images.log" >&2
    return 1
  }
  rm -rf "$work"
}

image_config() {
  local layer=$1 entry=$2
  cat <<EOF
{
  "architecture": "$(dpkg --print-architecture)", "os": "linux",
  "config": {$entry, "Env": ["PATH=/bin"]},
  "rootfs": {"type": "layers", "diff_ids": ["$layer"]}
}
EOF
}

load_image() {
  local image=$1 work
  [ -e "$state/up" ] || die "the node is not up: e2e/cluster up"
  work=$(mktemp -d)
  # shellcheck disable=SC2064  # now, while the name is known
  trap "rm -rf '$work'" EXIT
  if [ ! -f "$image" ]; then
    buildah --storage-driver overlay push --quiet "$image" "docker-archive:$work/image.tar:$image"
    image=$work/image.tar
  fi
  ctr images import "$image"
}

# ---- tearing down ----

# Works without containerd, which may have been the one that crashed. The pods' shims live in the node's network, so they
# end with whatever else does; containerd puts their sockets outside its own state directory.
stop_pods() {
  local address
  kill_cgroups
  stop_processes_of_network
  for address in "$container_state"/io.containerd.runtime.v2.task/k8s.io/*/address; do
    if [ -e "$address" ]; then rm -f "$(sed 's|^unix://||' "$address")"; fi
  done
  if [ -d /run/containerd/s ]; then rmdir --ignore-fail-on-non-empty /run/containerd/s /run/containerd; fi
}

# Everything mounted below the state directory: volumes, root filesystems, the pods' network namespaces.
unmount_state() {
  local target
  # The innermost first.
  for target in $(state_mounts | tac); do
    umount "$target" 2>/dev/null || umount --lazy "$target"
  done
  # What stayed mounted would be emptied with the state directory.
  [ -z "$(state_mounts)" ] || die "cannot unmount $(state_mounts)"
}

state_mounts() { findmnt -rn -o TARGET | grep -F "$state/" || true; }

#!/bin/sh
# containerd of a node, in a container without the privileged flag: opens what Docker mounts read-only, then keeps containerd
# running. The loop is the container's first process: when containerd crashes, its pods do not notice; when this container
# ends, they end too, as on a machine that loses power. usage: containerd.sh
set -eu

mount -o remount,bind,rw /sys
mount -o remount,bind,rw /proc/sys
for folder in /sys/fs/cgroup /sys/fs/cgroup/*; do
  if mountpoint -q "$folder"; then mount -o remount,bind,rw "$folder"; fi
done
# Mounts that the kubelet makes in here are seen by the pods' containers.
mount --make-rshared /

# cgroup v2 allows no process beside the pods' cgroups.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p /sys/fs/cgroup/init
  while read -r pid; do
    # 0 is a process outside of this namespace; one that has just ended cannot be moved.
    [ "$pid" = 0 ] || echo "$pid" >/sys/fs/cgroup/init/cgroup.procs || true
  done </sys/fs/cgroup/cgroup.procs
  sed -e 's/ / +/g' -e 's/^/+/' </sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi

echo 1 >/proc/sys/net/ipv4/ip_forward
for interface in all default eth0; do
  # Replies of translated connections come from another interface than routes would say.
  echo 0 >"/proc/sys/net/ipv4/conf/$interface/rp_filter"
  # A redirect would teach pods a way around the node that translates for them.
  echo 0 >"/proc/sys/net/ipv4/conf/$interface/send_redirects"
done

# Where the volume lies on an overlay itself, another overlay cannot keep its changes there.
snapshotter=native
probe=/var/lib/containerd/probe
mkdir -p "$probe/lower" "$probe/upper" "$probe/work" "$probe/merged"
if mount -t overlay overlay -o "lowerdir=$probe/lower,upperdir=$probe/upper,workdir=$probe/work" "$probe/merged"; then
  umount "$probe/merged"
  snapshotter=overlayfs
fi
rm -rf "$probe"

trap 'kill "$containerd" 2>/dev/null; exit 0' TERM INT
containerd --config "/opt/coxswain/containerd-$snapshotter.toml" &
containerd=$!
until ctr version >/dev/null 2>&1; do
  kill -0 "$containerd"
  sleep 0.1
done
for image in /opt/coxswain/images/*.tar; do
  ctr --namespace k8s.io images import --snapshotter "$snapshotter" "$image"
done
touch /run/node-ready
while :; do
  wait "$containerd" || echo "containerd ended with $?: it is started again" >&2
  sleep 0.5
  containerd --config "/opt/coxswain/containerd-$snapshotter.toml" &
  containerd=$!
done

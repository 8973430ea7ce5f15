#!/bin/bash
# The kubelet of a node: runs in the mount namespace of the node's containerd, so that the mounts it makes are the mounts that
# containers see. Ends when that namespace goes: Docker then starts it again, and it waits for the next one. Of the
# certificates only the node's own come along. usage: kubelet.sh NODE FLAGS... (node-1)
set -eu
node=$1
shift

# The first process of the containerd container, among those of the node's own process namespace: never a pod's process.
find_containerd() {
  local process
  for process in /proc/[0-9]*; do
    if [ "$(tr '\0' ' ' 2>/dev/null <"$process/cmdline")" = "sh /app/node/containerd.sh " ] &&
      [ "$(readlink "$process/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] &&
      [ -e "$process/root/run/node-ready" ]; then
      echo "${process#/proc/}"
      return 0
    fi
  done
  return 1
}

until containerd=$(find_containerd); do sleep 0.2; done
pki=/run/coxswain/pki
install -d -m 700 "/proc/$containerd/root$pki"
cp /pki/ca.crt "/pki/kubelet-$node.crt" "/pki/kubelet-$node.key" "/proc/$containerd/root$pki/"

# A node's share of the machine: two nodes do not promise the same memory twice.
cpu=$(($(nproc) * 1000 / 2))m
memory=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo) / 2))Ki

nsenter --mount --target "$containerd" -- node /app/dist/kubelet.mjs \
  --nodes="$node" --instance="$node" --capacity-cpu="$cpu" --capacity-memory="$memory" \
  --ca-file="$pki/ca.crt" --cert-file="$pki/kubelet-$node.crt" --key-file="$pki/kubelet-$node.key" "$@" &
kubelet=$!
tail --pid="$containerd" -f /dev/null &
trap 'kill -TERM "$kubelet"; wait "$kubelet"; exit' TERM INT
code=0
wait -n || code=$?
echo "the kubelet has ended ($code), or the containerd that it served has" >&2
kill -KILL "$kubelet" 2>/dev/null || true
exit 1

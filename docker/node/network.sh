#!/bin/sh
# First process of a node: holds its network and process namespaces for as long as the node has power, and makes its routes.
# The node's containerd, kubelet and kube-proxy share both, so each can be restarted alone. usage: network.sh NODE PEER=ADDRESS...
# (numbers: node 1 has the pods 10.244.1.0/24)
set -eu
node=$1
shift

# Translation of a Service address happens after the first look at the routes: there must be one.
ip route replace 10.96.0.0/16 dev eth0
# A pod address that nobody has fails at once.
ip route replace unreachable 10.244.0.0/16
for peer in "$@"; do
  ip route replace "10.244.${peer%=*}.0/24" via "${peer#*=}"
done

# Pods meet each other under their own addresses, and everything else (the control plane, the world) under the node's:
# only nodes know the way back to a pod.
nft -f - <<END
table ip coxswain-node
delete table ip coxswain-node
table ip coxswain-node {
  chain postrouting {
    type nat hook postrouting priority srcnat + 10;
    ip saddr 10.244.$node.0/24 ip daddr != 10.244.0.0/16 oifname "eth0" masquerade
  }
}
END
exec sleep infinity

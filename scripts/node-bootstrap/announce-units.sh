# The units and hooks of announce.sh. Sourced after lib.sh.
# shellcheck shell=bash

file_mode() { case $1 in announce.sh) echo 0755 ;; *) echo 0644 ;; esac }

# What both services are: a throw-away user, which gets the key from systemd and can do nothing but speak to the network.
service_settings() {
  cat <<END
Type=oneshot
Environment=V6EDGE_ROLE=$ROLE V6EDGE_NODE_NAME=$NODE_NAME
LoadCredential=dns.key:$DNS_KEY_FILE
DynamicUser=yes
User=v6edge-announce
StateDirectory=v6edge-announce
TimeoutStartSec=60
TimeoutStopSec=30
CapabilityBoundingSet=
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077
END
}

# Units that start in this order stop in the reverse one: the node leaves its pools while the kubelet and the network are still there.
member_unit() {
  cat <<END
# Written by v6edge's announce.sh; changes here are overwritten.
[Unit]
Description=This node as a member of the v6edge pools
Wants=network-online.target v6edge-announce.timer
After=network.target network-online.target systemd-networkd.service systemd-resolved.service nss-lookup.target time-sync.target
After=crio.service kubelet.service
StartLimitIntervalSec=0

[Service]
RemainAfterExit=yes
ExecStart=/usr/local/lib/v6edge-node/announce.sh --enter
# As root: systemd 252 gives what LoadCredential brings to what starts a service, and not to what stops it.
ExecStop=+/usr/local/lib/v6edge-node/announce.sh --leave
# The edge sends nobody here any more; who is here already is served before the kubelet stops.
ExecStop=/usr/bin/sleep 2
Restart=on-failure
RestartSec=10
$(service_settings)

[Install]
WantedBy=multi-user.target
END
}

announce_unit() {
  cat <<END
# Written by v6edge's announce.sh; changes here are overwritten. The timer starts it.
[Unit]
Description=Announce this node to the v6edge DNS server
Wants=network-online.target
After=network-online.target v6edge-member.service
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/local/lib/v6edge-node/announce.sh --refresh
Restart=on-failure
RestartSec=15
$(service_settings)

[Install]
WantedBy=multi-user.target
END
}

# timer_unit SECONDS: between two announcements; a fleet that was started together does not stay together.
timer_unit() {
  cat <<END
# Written by v6edge's announce.sh; changes here are overwritten.
[Unit]
Description=Announce this node to the v6edge DNS server before its lease ends

[Timer]
OnActiveSec=$1
OnUnitInactiveSec=$1
RandomizedDelaySec=$(($1 / 10))
AccuracySec=1

[Install]
WantedBy=timers.target
END
}

# networkd writes that file whenever an interface, its servers or domains change.
path_unit() {
  cat <<'END'
# Written by v6edge's announce.sh; changes here are overwritten.
[Unit]
Description=Announce this node to the v6edge DNS server when its network changes

[Path]
PathChanged=/run/systemd/netif/state
Unit=v6edge-announce.service

[Install]
WantedBy=paths.target
END
}

dispatcher_hook() {
  cat <<'END'
#!/bin/sh
# Written by v6edge's announce.sh: an interface has got an address.
exec systemctl start --no-block v6edge-announce.service
END
}

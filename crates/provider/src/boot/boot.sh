# Makes a machine a host of evenkeel. Runs as root at its first start, on Google Cloud at each start: every step may be
# repeated. No secret is in here: what is secret is fetched from the private bucket, by the right of the machine itself.
set -euo pipefail
say() { echo "evenkeel-boot: $*"; }
home=$top/var/lib/evenkeel
opt=$top/opt/evenkeel
units=$top/etc/systemd/system
mkdir -p "$home" "$units"

# The disk for databases: the one of that size which the system does not run from.
if [ -n "$EK_DATA_GB" ] && ! mountpoint -q "$home"; then
  root=$(lsblk -nrpso NAME,TYPE "$(findmnt -no SOURCE /)" | awk '$2 == "disk" { print $1; exit }')
  disk=
  for _ in $(seq 120); do
    disk=$(lsblk -bdnrpo NAME,SIZE,TYPE | awk -v size="$((EK_DATA_GB * 1073741824))" -v root="$root" \
      '$3 == "disk" && $2 == size && $1 != root { print $1; exit }')
    [ -n "$disk" ] && break
    sleep 5
  done
  [ -n "$disk" ] || { say "no disk of $EK_DATA_GB GiB came within 10 minutes"; exit 1; }
  # Only one that holds nothing yet is formatted: after a machine was replaced the data is still there.
  blkid "$disk" > /dev/null || mkfs.ext4 -q -L evenkeel "$disk"
  uuid=$(blkid -s UUID -o value "$disk")
  grep -q "$uuid" "$top/etc/fstab" || echo "UUID=$uuid $home ext4 defaults,noatime,nofail 0 2" >> "$top/etc/fstab"
  mount "$home"
fi
# PostgreSQL and etcd run as users of their own and have to pass through.
chmod 0711 "$home" "$etc"

if [ "$EK_AGENT" != 1 ]; then
  say "this version runs one agent a zone, and not on this machine"
  exit 0
fi

# Debian's own services of these packages stay off: evenkeel starts servers of its own.
ln -sf /dev/null "$units/etcd.service"
mkdir -p "$top/etc/postgresql-common"
echo "create_main_cluster = false" > "$top/etc/postgresql-common/createcluster.conf"
chmod 755 "$top/etc/postgresql-common"
chmod 644 "$top/etc/postgresql-common/createcluster.conf"
if [ -n "$EK_PACKAGES" ]; then
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  until apt-get update -q && (umask 022 && apt-get install -y -q --no-install-recommends $EK_PACKAGES); do
    say "packages could not be installed; trying again"
    sleep 15
  done
fi

fetch() {
  until python3 "$etc/fetch.py" "$1" "$2"; do
    say "$1 is not in the bucket yet, or this machine may not read it yet; trying again"
    sleep 15
  done
}
if [ ! -e "$home/state/identity/authority.pem" ]; then
  fetch identity.tar.gz "$etc/identity.tar.gz"
  mkdir -p "$home/state"
  tar -C "$home/state" --no-same-owner -xzf "$etc/identity.tar.gz" identity
  rm -f "$etc/identity.tar.gz"
fi
if [ ! -x "$opt/bin/evenkeel" ]; then
  fetch release.tar.gz "$etc/release.tar.gz"
  (umask 022 && mkdir -p "$opt" && tar -C "$opt" --no-same-owner -xzf "$etc/release.tar.gz")
  rm -f "$etc/release.tar.gz"
fi

# This machine's certificate for the store, from the authority that all hosts share.
authority=$home/state/identity/authority.pem
if [ ! -e "$etc/store/cert.pem" ]; then
  mkdir -p "$etc/store"
  openssl x509 -in "$authority" -out "$etc/store/ca.pem"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=store-$EK_ZONE" \
    -keyout "$etc/store/key.pem" -out "$etc/store/request.pem" 2> /dev/null
  printf '%s\n' "subjectAltName=IP:$EK_ADDRESS,IP:127.0.0.1" "basicConstraints=critical,CA:FALSE" \
    "keyUsage=critical,digitalSignature" "extendedKeyUsage=serverAuth,clientAuth" > "$etc/store/extensions"
  openssl x509 -req -in "$etc/store/request.pem" -CA "$authority" -CAkey "$authority" \
    -set_serial "0x$(openssl rand -hex 15)" -days 1825 -extfile "$etc/store/extensions" \
    -out "$etc/store/cert.part" 2> /dev/null
  mv "$etc/store/cert.part" "$etc/store/cert.pem"
fi

if [ "$EK_STORE" = 1 ]; then
  # On the disk that outlives the machine, where there is one: a member that comes back without its data is refused.
  install -d -o etcd -g etcd -m 0700 "$etc/etcd" "$home/store"
  for file in ca.pem cert.pem key.pem; do install -o etcd -g etcd -m 0600 "$etc/store/$file" "$etc/etcd/$file"; done
  tls="--cert-file=$etc/etcd/cert.pem --key-file=$etc/etcd/key.pem --trusted-ca-file=$etc/etcd/ca.pem --client-cert-auth"
  peer="--peer-cert-file=$etc/etcd/cert.pem --peer-key-file=$etc/etcd/key.pem --peer-trusted-ca-file=$etc/etcd/ca.pem"
  (umask 022 && cat > "$units/evenkeel-store.service") << UNIT
[Unit]
Description=evenkeel's store: a member of etcd
After=network-online.target
Wants=network-online.target
RequiresMountsFor=$home
[Service]
User=etcd
Type=notify
# It says that it is ready when a majority is.
TimeoutStartSec=infinity
ExecStart=/usr/bin/etcd --name $EK_ZONE --data-dir $home/store --pre-vote --heartbeat-interval 50 \\
  --election-timeout 500 --auto-compaction-mode periodic --auto-compaction-retention 10m \\
  --listen-client-urls https://$EK_ADDRESS:2379,https://127.0.0.1:2379 \\
  --advertise-client-urls https://$EK_ADDRESS:2379 --listen-peer-urls https://$EK_ADDRESS:2380 \\
  --initial-advertise-peer-urls https://$EK_ADDRESS:2380 --initial-cluster $EK_MEMBERS --initial-cluster-token evenkeel \\
  $tls $peer --peer-client-cert-auth
Restart=always
RestartSec=1
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=$home/store
ProtectHome=yes
PrivateTmp=yes
[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable --now --no-block evenkeel-store
fi

# What the agent runs outlives it, so only the agent itself is ended with its unit.
(umask 022 && cat > "$units/evenkeel-agent.service") << UNIT
[Unit]
Description=evenkeel's agent of zone $EK_ZONE
After=network-online.target evenkeel-store.service
Wants=network-online.target
RequiresMountsFor=$home
[Service]
ExecStart=$opt/bin/evenkeel --state $home/state agent --zone $EK_ZONE --store $EK_STORE_URL \\
  --store-tls $etc/store --address $EK_ADDRESS --base $opt/app
Restart=always
RestartSec=1
KillMode=process
OOMScoreAdjust=-900
LimitNOFILE=65536
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now --no-block evenkeel-agent

# One machine hands the application out, once: afterwards plans come from whoever changes it.
if [ "$EK_FIRST" = 1 ]; then
  (umask 022 && cat > "$units/evenkeel-first-plan.service") << UNIT
[Unit]
Description=hands evenkeel's first plan to the agents
After=evenkeel-store.service
ConditionPathExists=!$home/state/hosts.json
[Service]
Type=oneshot
ExecStart=$opt/bin/evenkeel --state $home/state up --store $EK_STORE_URL --store-tls $etc/store \\
  $opt/app/$EK_FILE
Restart=on-failure
RestartSec=5
[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable --now --no-block evenkeel-first-plan
fi
say "done"

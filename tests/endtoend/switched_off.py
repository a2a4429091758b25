# SPDX-License-Identifier: Apache-2.0
"""An engine whose swarm certificates have expired, without a server and without waiting for years.

It runs on the root file system of a node's image, in namespaces of its own, and founds a swarm.
That gets a certificate authority whose key is known, with which the manager's certificate is
replaced by one that has expired. Then the commands that help are run, as the documentation has
them.
"""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

from devcloud import settings

ADDRESS = "10.0.0.11"
TIMEOUT = 180.0  # seconds
_UNSHARE = (
    *("unshare", "--mount", "--net", "--pid", "--uts", "--fork"),
    *("--propagation", "private"),
)
# What is written stays in memory.
_OUTSIDE = r"""
set -e
mount -t tmpfs tmpfs $PLACE
mkdir $PLACE/upper $PLACE/work $PLACE/root
mount -t overlay overlay \
    -o lowerdir=$IMAGE,upperdir=$PLACE/upper,workdir=$PLACE/work $PLACE/root
cd $PLACE/root
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mkdir -p var/lib/docker
mount -t tmpfs tmpfs var/lib/docker
ip link set lo up
ip link add inside type veth peer name outside
ip addr add $ADDRESS/24 dev inside
ip link set inside up
ip link set outside up
ip route add default via ${ADDRESS%.*}.1
cat > root/inside.sh
exec chroot . bash root/inside.sh
"""
_INSIDE = r"""
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
cd /root
systemctl() {
    if [ $1 = stop ]; then
        kill $(cat pid)
        while kill -0 $(cat pid) 2> /dev/null; do sleep 0.2; done
        return
    fi
    dockerd --bridge=none --iptables=false --ip-forward=false > dockerd.log 2>&1 &
    echo $! > pid
    for try in $(seq 60); do docker version > /dev/null 2>&1 && break; sleep 0.5; done
}
sudo() { "$@"; }
say() { echo "@$1 $(cat)"; }
certificate=/var/lib/docker/swarm/certificates/swarm-node.crt

systemctl start docker
curl --silent --unix-socket /run/docker.sock --header "Content-Type: application/json" \
    --data '@FOUND@' http://engine/v1.41/swarm/init > /dev/null
echo secret | docker secret create kept - > /dev/null
docker node ls --format '{{.ID}}' | say before

cat > ca.cnf <<END
[ca]
default_ca = x
[x]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = p
preserve = yes
unique_subject = no
[p]
commonName = supplied
organizationalUnitName = optional
organizationName = optional
END
touch index
echo 01 > serial
authority="basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign"
printf "$authority\nsubjectKeyIdentifier=hash\n" > ca.ext
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -new -key ca.key -subj /CN=swarm-ca -out ca.csr
sign="openssl ca -batch -notext -config ca.cnf -keyfile ca.key"
$sign -selfsign -startdate 20250101000000Z -enddate 20400101000000Z -extfile ca.ext \
    -in ca.csr -out ca.crt 2> /dev/null
docker swarm ca --rotate --quiet --ca-cert ca.crt --ca-key ca.key > /dev/null
for try in $(seq 60); do
    openssl verify -CAfile ca.crt $certificate > /dev/null 2>&1 && break
    sleep 0.5
done
expires=$(openssl x509 -in $certificate -noout -enddate)
echo $(( ($(date -d "${expires#*=}" +%s) - $(date +%s)) / 86400 )) | say days

sleep 2
systemctl stop docker
# Without the lines that only Docker understands; the key stays the same.
sed '/^[a-z-]*: /d; /^$/d' ${certificate%.crt}.key > node.key
subject=/$(openssl x509 -in $certificate -noout -subject -nameopt RFC2253,sep_comma_plus \
    | sed 's/^subject=//; s/,/\//g')
openssl req -new -key node.key -subj "$subject" -out node.csr
names=$(openssl x509 -in $certificate -noout -ext subjectAltName | tail -1 | tr -d ' ')
usage="keyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth"
printf "basicConstraints=critical,CA:FALSE\n$usage\nsubjectAltName=$names\n" > node.ext
$sign -cert ca.crt -startdate 20260101000000Z -enddate 20260102000000Z -extfile node.ext \
    -in node.csr -out node.crt 2> /dev/null
cat node.crt > $certificate
systemctl start docker
sleep 3
docker node ls 2>&1 | say nodes
docker info --format '{{.Swarm.Error}}' | say error

@COMMANDS@
for try in $(seq 60); do
    openssl x509 -in $certificate -noout -checkend 0 > /dev/null && break
    sleep 0.5
done
systemctl stop docker
systemctl start docker
sleep 3
docker node ls --format '{{.ID}}' | say after
docker secret ls --format '{{.Name}}' | say secrets
systemctl stop docker
"""


def run(image: str, spec: object, commands: Sequence[str]) -> dict[str, str]:
    """What was seen: the node ``before`` and ``after``, the ``days`` that its certificate lives,
    how the engine refuses to list ``nodes``, the ``error`` that it tells, and ``secrets``.

    :param image: name of a root file system.
    :param spec: of the swarm.
    :param commands: those that help.
    """
    found: dict[str, Any] = {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": ADDRESS,
        "Spec": spec,
    }
    program = _INSIDE.replace("@FOUND@", json.dumps(found))
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            [*_UNSHARE, "bash", "-c", _OUTSIDE],
            input=program.replace("@COMMANDS@", "\n".join(commands)),
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "PLACE": place,
                "IMAGE": str((settings.IMAGES / image).resolve()),
                "ADDRESS": ADDRESS,
            },
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    seen = dict(
        line[1:].partition(" ")[::2] for line in done.stdout.splitlines() if line[:1] == "@"
    )
    assert "secrets" in seen, f"{seen}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return seen

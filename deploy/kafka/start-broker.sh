#!/bin/sh
# start-broker.sh DATA_DIR [PORT] [HEAP]: formats (once) and runs a one-node Apache Kafka (KRaft) on loopback in the foreground; SIGTERM stops it.
# Needs java 17 or newer and the jars that fetch.sh gets.
# Environment: KAFKA_LIBS (folder of the jars), JAVA, KAFKA_CONTROLLER_PORT (default PORT+1), KAFKA_JVM_OPTS, KAFKA_EXTRA (more lines for
# server.properties; a later line wins), KAFKA_SCRAM (users to make at formatting, as name=secret lines).
# Keep PORT below 32768: a client that polls a port inside the ephemeral range before the broker listens can connect to itself and hold it.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
data=${1:?usage: start-broker.sh DATA_DIR [PORT] [HEAP]}
port=${2:-9092}
heap=${3:-256m}
cport=${KAFKA_CONTROLLER_PORT:-$((port + 1))}
java=${JAVA:-java}
libs=${KAFKA_LIBS:-$here/../../lib/kafka}
[ -e "$libs/.complete" ] || { echo "the broker's jars are not in $libs: run make deps-kafka" >&2; exit 3; }

mkdir -p "$data"
data=$(CDPATH= cd -- "$data" && pwd)
sed -e "s|@PORT@|$port|g" -e "s|@CPORT@|$cport|g" -e "s|@DATA@|$data|g" "$here/server.properties.tmpl" > "$data/server.properties"
[ -z "${KAFKA_EXTRA:-}" ] || printf '%s\n' "$KAFKA_EXTRA" >> "$data/server.properties"

log="-Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true -Dlog4j2.disable.jmx=true"
if [ ! -e "$data/logs/meta.properties" ]; then
  # A cluster id is 16 bytes in URL-safe base64 without padding and does not start with '-'.
  id=A$(head -c 16 /dev/urandom | base64 | tr '+/' 'xy' | cut -c2-22)
  set --
  if [ -n "${KAFKA_SCRAM:-}" ]; then
    while IFS='=' read -r user secret; do
      [ -z "$user" ] || set -- "$@" --add-scram "SCRAM-SHA-512=[name=$user,password=$secret]"
    done <<USERS
$KAFKA_SCRAM
USERS
  fi
  "$java" -Xmx128m -XX:TieredStopAtLevel=1 $log -cp "$libs/*" kafka.tools.StorageTool format -t "$id" -c "$data/server.properties" --standalone "$@" >&2
fi

# Class-data sharing: the first clean stop writes an archive, later starts are a second faster.
jsa=$libs/kafka-$("$java" -version 2>&1 | cksum | cut -d' ' -f1).jsa
if [ -e "$jsa" ]; then cds="-XX:SharedArchiveFile=$jsa"; else cds="-XX:ArchiveClassesAtExit=$jsa"; fi
exec "$java" -Xms"$heap" -Xmx"$heap" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:+ExitOnOutOfMemoryError \
  -Djava.awt.headless=true $log $cds ${KAFKA_JVM_OPTS:-} \
  -cp "$libs/*" kafka.Kafka "$data/server.properties"

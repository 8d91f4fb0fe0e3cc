#!/bin/sh
# fetch.sh LIBS: fetches the jars of one Apache Kafka broker from Maven Central into LIBS; installs Java and Maven through the system's package manager
# where they are missing.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$1"
libs=$(CDPATH= cd -- "$1" && pwd)
[ ! -e "$libs/.complete" ] || exit 0
missing=
command -v java >/dev/null || missing="$missing default-jre-headless"
command -v mvn >/dev/null || missing="$missing maven"
if [ -n "$missing" ]; then
  command -v apt-get >/dev/null || { echo "install Java 17 or newer and Maven: Apache Kafka needs them" >&2; exit 3; }
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  echo "installing$missing, which Apache Kafka needs"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
echo "fetching Apache Kafka (44 MB), once"
mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -Dlibs="$libs" >&2
ls "$libs"/kafka_2.13-*.jar >/dev/null
touch "$libs/.complete"

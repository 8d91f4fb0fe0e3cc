#!/bin/sh
# browser.sh: installs Chromium, which the console's tests drive, through the system's package manager if it is not there.
set -eu
for b in chromium chromium-browser google-chrome; do
  if command -v "$b" >/dev/null; then exit 0; fi
done
if ! command -v apt-get >/dev/null; then
  echo "install Chromium through your package manager: the console's tests drive it" >&2
  exit 3
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing Chromium, which the console's tests drive"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends chromium >/dev/null

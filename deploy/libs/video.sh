#!/bin/sh
# video.sh: installs ffmpeg, which reads videos and cameras, and libturbojpeg, which decodes frames, through the system's package manager where they are
# not there.
set -eu
want=
command -v ffmpeg >/dev/null || want=ffmpeg
found=
for d in /usr/lib /usr/lib64 /usr/local/lib /usr/local/lib64 /opt/libjpeg-turbo/lib64 /usr/lib/*-linux-gnu; do
  if [ -e "$d/libturbojpeg.so.0" ]; then found=1; fi
done
[ -n "$found" ] || want="$want libturbojpeg0"
if [ -z "$want" ]; then exit 0; fi
if ! command -v apt-get >/dev/null; then
  echo "install ffmpeg and libturbojpeg (libjpeg-turbo) through your package manager: they read videos and cameras, and decode frames" >&2
  exit 3
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing $want, which read videos and cameras and decode frames"
$sudo apt-get update -qq
# Ubuntu calls the library libturbojpeg.
case $want in *libturbojpeg0*) apt-cache show libturbojpeg0 >/dev/null 2>&1 || want=$(echo "$want" | sed s/libturbojpeg0/libturbojpeg/) ;; esac
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $want >/dev/null

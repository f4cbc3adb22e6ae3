#!/usr/bin/env bash
# Installs the system packages that tests talk to, where they are missing: a C compiler with the
# kernel's headers (a V4L2 device that answers OpenCV) and one for C++ with its sanitizers (CUDA
# kernels in emulation), GStreamer's command line, OpenSSH, sudo and systemd's checker (doctor, flash),
# an emulator of older processors, a browser for the pages, and something that draws a scene without
# a screen.
#
#   tools/system.sh         all of it
#   tools/system.sh draw    the last of it alone, for the demo
#   tools/system.sh arm64   only what tools/arm64.py emulates a Jetson's processor with
#
# Only root installs; for anybody else the line to type is printed, and so it is when apt fails.

set -euo pipefail

missing=()
if [ "${1:-}" = arm64 ]; then
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
elif [ "${1:-}" != draw ]; then
    command -v cc >/dev/null || missing+=(gcc)
    command -v g++ >/dev/null || missing+=(g++)
    [ -e /usr/include/linux/videodev2.h ] || missing+=(linux-libc-dev libc6-dev)
    command -v chromium >/dev/null || missing+=(chromium)
    command -v ssh-keygen >/dev/null || missing+=(openssh-client)
    [ -x /usr/sbin/sshd ] || missing+=(openssh-server)
    command -v systemd-analyze >/dev/null || missing+=(systemd)
    command -v sudo >/dev/null || missing+=(sudo)
    command -v qemu-x86_64-static >/dev/null || missing+=(qemu-user-static)
    command -v gst-launch-1.0 >/dev/null || missing+=(gstreamer1.0-tools gstreamer1.0-plugins-base)
fi
if [ "${1:-}" != arm64 ]; then
    ls /usr/share/glvnd/egl_vendor.d/*.json >/dev/null 2>&1 || missing+=(libegl1 libegl-mesa0 libgl1-mesa-dri)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "system: installing ${missing[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    { $install || { apt-get update && $install; }; } >&2 && exit 0
fi
echo "system: some things here need ${missing[*]}. Run this, then run me again:" >&2
echo "system:   sudo $install" >&2
exit 4

#!/bin/sh
# Builds the distribution's source with the configuration of upstream, which is that of the image
# people know: the distribution's own leaves out timeouts of wget and the larger nc.
# Runs in the root of the packages in "toolchain", with the source package in the working directory.
set -eu
tar -xf busybox_*.orig.tar.*
cd busybox-*/
tar -xf ../busybox_*.debian.tar.*
grep -v '^#' debian/patches/series | while read -r name; do
  if [ -n "$name" ]; then patch -s -p1 <"debian/patches/$name"; fi
done
# nslookup looks names up as programs do: with the search list, whatever the number of dots.
patch -s -p1 <../nslookup-search.patch
make -s defconfig >/dev/null
# The kernel interface of tc changes with the headers.
sed -i 's/^CONFIG_TC=y/# CONFIG_TC is not set/' .config
make -s -j"$(nproc)" busybox_unstripped
strip -o busybox busybox_unstripped
install -D busybox /out/bin/busybox

# Make a root folder in memory and start a daemon in it: sh boot.sh ROOT STORAGE PARTS COMMAND...
# Runs as the namespace's own root, in a mount namespace of its own. The programs there are the host's (or those of
# USERLAND), not to be changed, because they belong to another user; the host's homes are not there at all.
# With QEMU, a static emulator, Arm programs start through it, in this namespace only.
set -eu
root=$1 storage=$2 parts=$3 userland=${USERLAND:-}
shift 3
mount -t tmpfs -o size=8m,mode=755 device "$root"
cd "$root"
for d in usr bin sbin lib lib32 lib64; do
  from=$userland/$d
  if [ -L "$from" ]; then cp -P "$from" "$d"; elif [ -d "$from" ]; then mkdir "$d" && mount --rbind "$from" "$d"; fi
done
mkdir -p proc dev sys etc tmp data system parts run
mount --rbind /proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount --rbind "$parts" parts
mount --bind "$root.system" system
mount -t tmpfs -o "size=$storage,mode=755" data data
mkdir -p data/local/tmp data/home
chmod 777 tmp data/local/tmp
printf 'root:x:0:0:root:/:/bin/sh\nboard:x:1000:1000:board:/data/home:/bin/sh\n' > etc/passwd
printf 'root:x:0:\nboard:x:1000:\n' > etc/group
environment="PATH=/system/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/ LANG=C.UTF-8 ADBD_PORT=${ADBD_PORT:-}"
environment="$environment LD_LIBRARY_PATH=${BOARD_LIBRARY_PATH:-}"
if [ -n "${QEMU:-}" ]; then
  # since Linux 6.7 every user namespace may have a binfmt_misc of its own; F: opened now, found in any root folder
  mkdir -p "$root.binfmt"
  mount -t binfmt_misc none "$root.binfmt"
  magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  printf '%s' ":edgefit-arm64:M::$magic:$mask:$QEMU:F" > "$root.binfmt/register"
  # shellcheck disable=SC2086
  exec setpriv --pdeathsig KILL env -i QEMU_CPU=cortex-a76 $environment chroot . "$@"
fi
# not chroot: the kernel lets no process in a chroot make the further user namespace that sshd gets
pivot_root . .
umount -l .
# shellcheck disable=SC2086
exec env -i $environment setpriv --pdeathsig KILL "$@"

# Make a root folder in memory and start a daemon in it: sh boot.sh ROOT STORAGE PARTS COMMAND...
# Runs as the namespace's own root, in a mount namespace of its own. The host's programs are there read-only in effect
# (they belong to another user); its homes are not there at all.
set -eu
root=$1 storage=$2 parts=$3
shift 3
mount -t tmpfs -o size=8m,mode=755 device "$root"
cd "$root"
for d in usr bin sbin lib lib32 lib64; do
  if [ -L "/$d" ]; then cp -P "/$d" "$d"; elif [ -d "/$d" ]; then mkdir "$d" && mount --rbind "/$d" "$d"; fi
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
# not chroot: the kernel lets no process in a chroot make the further user namespace that sshd gets
pivot_root . .
umount -l .
exec env -i PATH=/system/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/ LANG=C.UTF-8 ADBD_PORT="${ADBD_PORT:-}" \
  LD_LIBRARY_PATH="${BOARD_LIBRARY_PATH:-}" setpriv --pdeathsig KILL "$@"

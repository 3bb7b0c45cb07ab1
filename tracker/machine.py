"""This machine: what tells it from others, and which of its folders others share."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

#: File systems on which other machines may have the same files open: of networks, and of hosts
#: that share a folder with their virtual machines.
_SHARED = frozenset(
    "9p afpfs afs beegfs ceph cifs fhgfs fuse.ceph fuse.gcsfuse fuse.glusterfs fuse.juicefs "
    "fuse.mfs fuse.moosefs fuse.rclone fuse.s3fs fuse.sshfs glusterfs gpfs lustre macfuse nfs nfs3 "
    "nfs4 orangefs panfs prl_fs pvfs2 smb2 smb3 smbfs vboxsf virtiofs vmhgfs webdav wekafs".split()
)


def host() -> str:
    """The name of this machine, or of this container."""
    return socket.gethostname()


def boot() -> str | None:
    """What tells this start of this machine's kernel from any other; the same in containers.

    None where the system has no such thing.
    """
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_bytes().decode().strip()
    return None


def shared_file_system(path: Path) -> str | None:
    """The type of the file system that a path lies on, if other machines may share it.

    Args:
        path: A file or folder; it need not exist yet.

    Returns:
        Such as `nfs4`; None for a local one, or where that cannot be told.
    """
    import psutil  # 20 ms, for what is asked rarely

    real = Path(os.path.realpath(path))
    try:
        mounts = {mount.mountpoint: mount.fstype for mount in psutil.disk_partitions(all=True)}
    except (OSError, RuntimeError):  # as where /proc is not mounted
        return None
    for folder in (real, *real.parents):
        if str(folder) in mounts:
            kind = mounts[str(folder)]
            return kind if kind in _SHARED else None
    return None

"""Checks what experiments run on: `iqa doctor [--cache FOLDER]`.

Tells the machine and hashes every prepared file whole, which a start of a training does by samples alone. Exit code 1
where something is damaged.
"""

from __future__ import annotations

import platform

from iqa.commands.cli import parser_for
from iqa.errors import IqaError


def main(arguments: list[str]) -> None:
    parser = parser_for("doctor", __doc__, "What is damaged is built anew by the next command that needs it.")
    parser.add_argument("--cache", default="", help="folder of prepared data (default: $IQA_CACHE or ~/.cache/iqa)")
    given = parser.parse_args(arguments).cache
    # Imported late: --help must not wait for torch.
    import psutil
    import torch

    import iqa
    from iqa.data.store.cache import cache_folder, folders_in, size_of, verify
    from iqa.device import choose_device
    from iqa.files import roughly
    from iqa.processes import cores
    from iqa.progress import progress_bar, tell

    root = cache_folder(given or None)
    folders = folders_in(root)
    sizes = {folder: size_of(folder) for folder in folders}
    whole = roughly(sum(sizes.values()))
    tell(
        f"doctor: {whole} of prepared data to hash; no disk, next to no memory; writes nothing",
        work="doctor",
        what="the machine and every prepared file",
        disk=0,
        writes=[],
    )
    memory, device = psutil.virtual_memory(), choose_device("auto")
    named = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    print(
        f"iqa {iqa.__version__}, Python {platform.python_version()}, torch {torch.__version__}, device {device}{named}"
    )
    print(f"{cores()} cores, {roughly(memory.available)} of {roughly(memory.total)} of memory free")
    damaged = []
    print(f"prepared data in {root}: {len(folders)} folders, {whole}")
    with progress_bar(total=len(folders), desc="hashing", unit="folders", leave=False) as bar:
        for folder in folders:
            fine = verify(folder, whole=True) is not None
            print(f"  {'whole  ' if fine else 'DAMAGED'} {roughly(sizes[folder]):>8}  {folder.name}", flush=True)
            damaged += [] if fine else [folder.name]
            bar.update()
    if damaged:
        raise IqaError(
            f"{len(damaged)} of {len(folders)} folders are damaged",
            got=", ".join(damaged),
            fix="the next command that needs one builds it anew; check the disk if this happens again",
        )

"""Packs: the samples of a study in one file, with a manifest, to be replayed on another machine."""

from rollouts.packing.form import PACK_VERSION, Contents, Manifest
from rollouts.packing.reading import Unpacked, read_manifest, read_pack, unpack
from rollouts.packing.writing import write_pack

__all__ = ["PACK_VERSION", "Contents", "Manifest", "Unpacked", "read_manifest", "read_pack", "unpack", "write_pack"]

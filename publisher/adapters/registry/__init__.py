"""The registry: a folder on disk that is the source of truth. The broker holds copies.

registry.db   versions, trainings, plans, announcements, the index of chunks
blobs/        files by the SHA-256 of their bytes
keys/         private keys (`publisher.adapters.key_store`)
lock          held by the command that changes it
"""

from publisher.adapters.registry.announcements import Staged
from publisher.adapters.registry.devices import DeviceRow
from publisher.adapters.registry.registry import Registry, is_registry

__all__ = ["DeviceRow", "Registry", "Staged", "is_registry"]

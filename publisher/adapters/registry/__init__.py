"""The registry: a folder on disk that is the source of truth; the broker only carries what it says.

registry.db   models, versions, trainings, plans, announcements, where each chunk's bytes are; one transaction per step
blobs/        files by the hash of their bytes
keys/         private keys (`publisher.adapters.key_store`)
lock          held by the command that is at work
"""

from publisher.adapters.registry.announcements import Staged
from publisher.adapters.registry.devices import DeviceRow
from publisher.adapters.registry.registry import Registry

__all__ = ["DeviceRow", "Registry", "Staged"]

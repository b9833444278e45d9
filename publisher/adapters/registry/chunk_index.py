"""Where the bytes of each chunk are; they are checked against their hash when read."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.content.chunks import ChunkedBlob, children, name
from protocol.errors import BlobDamaged, UnknownVersion
from protocol.messages.manifest import Tree
from publisher.adapters.registry.blobs import Blobs
from publisher.adapters.registry.database import RegistryDatabase


@dataclass(frozen=True, slots=True)
class ChunkIndex:
    """The chunks of every blob. No chunk's bytes are stored twice."""

    _database: RegistryDatabase
    _blobs: Blobs

    def add(self, blob_sha256: str, cut: ChunkedBlob) -> None:
        """Record how a blob is cut, in one transaction."""
        slices = [(bytes.fromhex(leaf.sha256), blob_sha256, leaf.offset, leaf.size_bytes) for leaf in cut.leaves]
        nodes = [(bytes.fromhex(sha256), content) for sha256, content in cut.nodes.items()]
        with self._database.transaction() as rows:
            rows.execute("INSERT OR IGNORE INTO cuts VALUES (?, ?)", (cut.tree.root, blob_sha256))
            rows.executemany("INSERT OR IGNORE INTO slices VALUES (?, ?, ?, ?)", slices)
            rows.executemany("INSERT OR IGNORE INTO nodes VALUES (?, ?)", nodes)

    def read(self, sha256: str) -> bytes | None:
        """The bytes of a chunk; None when no blob has it. Raises BlobDamaged."""
        key = bytes.fromhex(sha256)
        for (content,) in self._database.rows("SELECT content FROM nodes WHERE sha256 = ?", (key,)):
            return self._checked(sha256, bytes(content))
        found = self._database.rows("SELECT blob, position, size_bytes FROM slices WHERE sha256 = ?", (key,))
        damaged: BlobDamaged | None = None
        for blob, position, size_bytes in found:
            try:
                return self._read_slice(sha256, blob, position, size_bytes)
            except BlobDamaged as other:
                damaged = other  # another blob may hold the same chunk
        if damaged:
            raise damaged
        return None

    def of_tree(self, tree: Tree) -> list[str]:
        """In upload order: slices first, the root last. Raises UnknownVersion."""
        levels = [[tree.root]]
        for _ in range(tree.depth):
            levels.append([child for sha256 in levels[-1] for child in children(self._node(sha256))])
        return list(dict.fromkeys(sha256 for level in reversed(levels) for sha256 in level))

    def blobs_of(self, tree: Tree) -> set[str]:
        """The hashes of the blobs that have this tree."""
        return {blob for (blob,) in self._database.rows("SELECT blob FROM cuts WHERE root = ?", (tree.root,))}

    def forget_blob(self, sha256: str) -> None:
        with self._database.transaction() as rows:
            rows.execute("DELETE FROM slices WHERE blob = ?", (sha256,))
            rows.execute("DELETE FROM cuts WHERE blob = ?", (sha256,))

    def _node(self, sha256: str) -> bytes:
        content = self.read(sha256)
        if content is None:
            raise UnknownVersion(
                f"the registry does not hold chunk {sha256[:12]}", hint="release the version again under another number"
            )
        return content

    def _read_slice(self, sha256: str, blob: str, position: int, size_bytes: int) -> bytes:
        path = self._blobs.path(blob)
        try:
            with path.open("rb") as file:
                file.seek(position)
                return self._checked(sha256, file.read(size_bytes), str(path))
        except OSError as unreadable:
            raise _damaged(f"{path} cannot be read: {unreadable.strerror}") from None

    def _checked(self, sha256: str, content: bytes, where: str = "a list of chunks in registry.db") -> bytes:
        if name(content) != sha256:
            raise _damaged(f"{where} no longer holds chunk {sha256[:12]}: its bytes have changed")
        return content


def _damaged(message: str) -> BlobDamaged:
    return BlobDamaged(message, hint="bring the file back from your backup, or release the model as a new version")

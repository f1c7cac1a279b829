"""The files of one guest, divided into those to delete and those to keep."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mclu_shell.cloud.guests.files.disk_files import DiskFiles
from mclu_shell.cloud.hypervisor.domain_files import (
    DomainDefinition,
    backing_chains,
    claimed_files,
    disks,
    disks_without_path,
    noted_files,
    nvram_files,
    referenced_files,
)

NOT_OURS = "not made by mclu"
NO_LONGER_USED = "the guest no longer uses it, and mclu may not have made it"
UNCHECKED = "for its users"


def backing_of(image: str) -> str:
    """Return the reason to keep a file that an image needs."""
    return f"a backing file of {image}"


@dataclass(slots=True)
class Selection:
    """The files of a guest that mclu made for it, and the reasons to keep some of them, and others.

    Files are compared by their keys. `find_user` returns the reason to keep a file that others need.
    """

    own: DomainDefinition
    files: DiskFiles
    made: tuple[str, ...]
    find_user: Callable[[str], str]
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def existing(self) -> list[str]:
        """The files that mclu made and that exist."""
        return [file for file in self.made if file in self.files.sizes]

    @property
    def deleted(self) -> list[str]:
        """The files to delete."""
        return [file for file in self.existing if file not in self.kept]

    def keep(self, reasons: Mapping[str, str]) -> None:
        """Keep files for these reasons; an earlier reason remains."""
        self.kept |= {file: why for file, why in reasons.items() if file not in self.kept}

    def keep_foreign_files(self) -> None:
        """Keep the files that were not made for the guest, and the backing files of those that were."""
        self.keep(dict.fromkeys(self._foreign_files(), NOT_OURS))
        listed = {self.files.key(file) for file in (*self.kept, *self.made)}
        chains = {base for file in self.existing for base in self.files.backing_chain(file)}
        existing = {base for base in chains if base in self.files.ids or base in self.files.hidden}
        self.keep({base: "a backing file" for base in sorted(existing) if self.files.key(base) not in listed})

    def _foreign_files(self) -> Iterator[str]:
        """Yield each file once, by its first name; the target of a link in place of a file that mclu made is foreign.

        A path that was made and is a link is deleted itself, but its target is kept.
        """
        listed = {self.files.key(file) for file in self.made if file not in self.files.links}
        nvram = [file for xml in self.own.xmls for file in nvram_files(xml)]
        for file in (*disks(self.own), *claimed_files(self.own), *noted_files(self.own), *nvram):
            name = self.files.real_path(file) if file in self.made and file in self.files.links else file
            if name in self.files.sizes and self.files.key(name) not in listed:
                listed.add(self.files.key(name))
                yield name
        yield from (file for file in nvram if file in self.files.hidden)
        yield from disks_without_path(self.own)

    def keep_needed_files(self) -> None:
        """Keep the files that others use, and the backing files of all that is kept."""
        self.keep({file: why for file in self.deleted if (why := self.find_user(file))})
        chains = [
            (self.files.key(file), [self.files.key(base) for base in bases])
            for file, *bases in backing_chains(self.own)
        ]
        while True:
            needed: dict[str, str] = {}
            for name in (*self.kept, *self._others()):
                bases = [base for top, chain in chains if top == self.files.key(name) for base in chain]
                bases += map(self.files.key, self.files.backing_chain(name))
                needed |= dict.fromkeys(bases, backing_of(name))
            more = {file: needed[self.files.key(file)] for file in self.deleted if self.files.key(file) in needed}
            if not more:
                return
            self.keep(more)

    def _others(self) -> list[str]:
        """Return the existing files that the guest names, and that are neither kept nor deleted."""
        listed = {self.files.key(file) for file in (*self.kept, *self.deleted)}
        named = sorted(referenced_files(self.own))
        return [file for file in named if file in self.files.ids and self.files.key(file) not in listed]

    def keep_shared_files(self, unchecked: Sequence[str]) -> tuple[str, ...]:
        """Keep files that guests of unchecked nodes may use; return these nodes if there are such files."""
        shared = [file for file in self.deleted if file in self.files.ids and not self.files.ids[file].is_local]
        if not shared or not unchecked:
            return ()
        self.keep({file: self._why_shared(file, unchecked) for file in shared})
        return tuple(unchecked)

    def keep_undecided_files(self, find_unreadable: Callable[[set[str]], str]) -> str:
        """Keep all files if an image may need them whose backing file is unknown; return that image.

        The argument of `find_unreadable` are the keys of the files that are deleted.
        """
        deleted = {self.own_key(file) for file in self.deleted}
        image = find_unreadable(deleted) if deleted else ""
        reason = f"{image} may need it: cannot determine its backing file"
        self.keep(dict.fromkeys(self.deleted if image else (), reason))
        return image

    def keep_open_files(self, find_process: Callable[[str, str], str]) -> None:
        """Keep all files if a process has one of them open, because that may need the others.

        `find_process` returns what has a file open; its arguments are the file and its key.
        """
        users = {file: user for file in self.deleted if (user := find_process(file, self.own_key(file)))}
        self.keep(users)
        self.keep(dict.fromkeys(self.deleted if users else (), f"as {next(iter(users), '')}, which is in use"))

    def _why_shared(self, file: str, unchecked: Sequence[str]) -> str:
        known = self.files.ids[file]
        where = "exported" if known.is_exported else f"on {known.file_system}"
        return f"{where}, and cannot check {' and '.join(unchecked)} {UNCHECKED}"

    def own_key(self, file: str) -> str:
        """Return the key of a file, or "link": the key of a link is that of its target."""
        return "link" if file in self.files.links else self.files.key(file)

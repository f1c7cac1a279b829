"""The users of the files of a guest to destroy: other guests, images and processes."""

from collections.abc import Collection
from dataclasses import dataclass

from mclu_shell.cloud.guests.files.file_uses import FileUse
from mclu_shell.cloud.guests.files.made_files import made_files
from mclu_shell.cloud.guests.files.open_files import LOCKED
from mclu_shell.cloud.guests.files.selection import backing_of
from mclu_shell.cloud.guests.leaving import GuestKey, Leaving
from mclu_shell.cloud.guests.survey import NodeSurvey, Survey
from mclu_shell.cloud.hypervisor.domain_files import own_logs
from mclu_shell.cloud.state.guest import Guest


@dataclass(frozen=True, slots=True)
class Users:
    """The users of a guest's files; `before` collects the guests that have to be destroyed before it."""

    survey: Survey
    here: NodeSurvey
    guest: Guest
    leaving: Leaving
    before: set[GuestKey]

    def find(self, file: str) -> str:
        """Return the reason to keep a file that others need; empty if they do not."""
        known = self.here.files.ids.get(file)
        if known is None:
            return self._find_by_path(file)
        is_link = file in self.here.files.links
        for node, use in self.survey.find_uses(self.guest.node, file, known):
            # A guest that names the target of a link does not need the link.
            if is_link and not use.is_link:
                continue
            if (node, use.uuid) != (self.guest.node, self.guest.uuid) and not self._ends(node, use):
                return self._describe(node, use)
        removed = self.survey.removals(self.guest.node).files
        images = [image for image in self.here.overlays.get(known.key, ()) if image not in removed]
        if images and images[0] in self.here.files.undecoded:
            return f"{images[0]} may need it: cannot decode the name of its backing file"
        return backing_of(images[0]) if images else ""

    def _find_by_path(self, file: str) -> str:
        """Return the same for a file that the login cannot see, such as a console log."""
        ignored = {self.guest.uuid, *self.survey.removals(self.guest.node).guests}
        uses = (use for use in self.here.uses.find_path(file) if use.uuid not in ignored)
        left = next((use for use in uses if not self._ends(self.guest.node, use)), None)
        return self._describe(self.guest.node, left) if left else ""

    def find_process(self, file: str, key: str) -> str:
        """Return what has a file open; empty if only guests have that will have stopped. `key` is the file's key."""
        for user in self.here.opened.find_users(key):
            if user is LOCKED and self._is_unlocked(file):
                continue
            guest = (self.guest.node, user.guest)
            if not self._stops(*guest):
                return user.description
            if guest in self.leaving.guests:
                self.before.add(guest)
        return ""

    def _is_unlocked(self, file: str) -> bool:
        """Return whether a lock on a file may be that of a guest that will have stopped.

        Only root sees the process of a guest of this node. An NFS server has the locks of guests of other nodes.
        """
        uses = self.survey.find_present_uses(self.guest.node, file, self.here.files.ids[file])
        return any(self._stops(node, use.uuid) for node, use in uses)

    def _stops(self, node: str, uuid: str) -> bool:
        """Return whether a guest is running now, and will have stopped before the files are deleted."""
        removed = self.survey.removals(node)
        known = self.survey.nodes[node].definitions.get(uuid)
        return uuid in removed.stopped or (
            known is not None
            and known.is_active
            and (uuid in (self.guest.uuid, *removed.guests) or (node, uuid) in self.leaving.guests)
        )

    def find_unreadable(self, deleted: Collection[str]) -> str:
        """Return an image whose backing files are unknown, so that it may need any file; empty if there is none.

        `deleted` are the keys of the files that are deleted with the guest: they need nothing then.
        """
        files = self.here.files
        gone = {*deleted, *map(files.key, self.survey.removals(self.guest.node).files)} if files.unreadable else set()
        for image in sorted(files.unreadable):
            key = files.key(image)
            if owner := self.leaving.files.get((self.guest.node, key)):
                self.before.add(owner)
            elif key not in gone and not self._is_forgotten(image):
                return image
        return ""

    def _is_forgotten(self, image: str) -> bool:
        """Return whether only guests use an image that earlier lines of a dry run would have removed."""
        removed = self.survey.removals(self.guest.node).guests
        users = {use.uuid for use in self.here.uses.find_path(image)}
        return bool(users) and users <= removed

    def _describe(self, node: str, use: FileUse) -> str:
        place = "" if node == self.guest.node else f"{node}:"
        names = self.survey.nodes[node].files.find_names(use.source)
        # The guest goes, but a file stays that needs this one.
        if (node, use.uuid) in self.leaving.guests and names:
            return backing_of(f"{place}{names[0]}")
        if use.file is None:
            return f"{place}{use.guest} needs a file of this name, which is missing there"
        return f"{place}{use.guest} uses it"

    def _ends(self, node: str, use: FileUse) -> bool:
        enders = self.leaving.find_enders(node, use)
        self.before.update(ender for ender in enders if ender != (self.guest.node, self.guest.uuid))
        return bool(enders)


def find_users(survey: Survey, guest: Guest) -> frozenset[GuestKey]:
    """Return the other guests that use files which mclu made for a guest."""
    here = survey.nodes.get(guest.node)
    own = here.definitions.get(guest.uuid) if here else None
    if here is None or own is None:
        return frozenset()
    files = (*made_files(own, here.files), *own_logs(own))
    made = [(file, here.files.ids[file]) for file in files if file in here.files.ids]
    users = {(node, use.uuid) for file, known in made for node, use in survey.find_uses(guest.node, file, known)}
    users |= {(guest.node, use.uuid) for log in own_logs(own) for use in here.uses.find_path(log)}
    return frozenset(users - {(guest.node, guest.uuid)})

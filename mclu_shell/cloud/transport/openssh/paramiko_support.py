"""The options of ssh that a login with paramiko honours; any other option needs OpenSSH itself (ssh_config(5)).

An option that only extends what ssh accepts is in the table with any value: if the login with paramiko fails, OpenSSH
follows. An option that restricts it must be honoured, or is missing here.
"""

from collections.abc import Mapping, Sequence
from typing import Final

_ANY: Final = None
_NO: Final = ("no", "false")
_NONE: Final = ("none",)

# Honoured: the address, the keys, the algorithms, and the files of known hosts.
_HONOURED: Final = (
    "host hostname user port hostkeyalias identityfile identitiesonly identityagent proxycommand proxyjump "
    "ciphers kexalgorithms macs hostkeyalgorithms pubkeyacceptedalgorithms requiredrsasize "
    "userknownhostsfile globalknownhostsfile"
)
# paramiko accepts a host key only if known_hosts has it, and saves none. Then ssh does not ask either.
_ABOUT_UNKNOWN_HOST_KEYS: Final = "stricthostkeychecking hashknownhosts updatehostkeys fingerprinthash visualhostkey"
# Other ways to log in, which OpenSSH tries after paramiko.
_OTHER_METHODS: Final = (
    "gssapiauthentication gssapikeyexchange gssapidelegatecredentials gssapitrustdns gssapirenewalforcesrekey "
    "gssapikexalgorithms gssapiclientidentity gssapiserveridentity hostbasedauthentication enablesshkeysign "
    "hostbasedacceptedalgorithms kbdinteractiveauthentication kbdinteractivedevices passwordauthentication "
    "numberofpasswordprompts casignaturealgorithms securitykeyprovider batchmode addkeystoagent"
)
# The user's own sessions, which mclu does not open.
_OWN_SESSIONS: Final = (
    "clearallforwardings controlmaster controlpath controlpersist dynamicforward enableescapecommandline escapechar "
    "exitonforwardfailure forkafterauthentication forwardagent forwardx11 forwardx11timeout forwardx11trusted "
    "gatewayports localcommand localforward permitlocalcommand permitremoteopen remotecommand remoteforward "
    "requesttty sendenv sessiontype setenv stdinnull streamlocalbindmask streamlocalbindunlink tunnel tunneldevice "
    "xauthlocation obscurekeystroketiming channeltimeout"
)
# Neither the login nor its safety depends on these.
_OTHER: Final = (
    "canonicaldomains canonicalizefallbacklocal canonicalizemaxdots canonicalizepermittedcnames compression "
    "connectionattempts connecttimeout ignoreunknown ipqos loglevel logverbose rekeylimit serveralivecountmax "
    "serveraliveinterval syslogfacility tag tcpkeepalive versionaddendum warnweakcrypto"
)
_RESTRICTED: Final[Mapping[str, Sequence[str]]] = {
    "addressfamily": ("any",),
    "canonicalizehostname": _NO,
    "checkhostip": _NO,
    "knownhostscommand": _NONE,
    "nohostauthenticationforlocalhost": _NO,
    "pkcs11provider": _NONE,
    "proxyusefdpass": _NO,
    "pubkeyauthentication": ("yes", "true"),
    "revokedhostkeys": _NONE,
    "verifyhostkeydns": _NO,
}
_ACCEPTED: Final[Mapping[str, Sequence[str] | None]] = {
    **dict.fromkeys(
        " ".join((_HONOURED, _ABOUT_UNKNOWN_HOST_KEYS, _OTHER_METHODS, _OWN_SESSIONS, _OTHER)).split(), _ANY
    ),
    **_RESTRICTED,
}
_FILE_LISTS: Final = ("userknownhostsfile", "globalknownhostsfile")


def unsupported_options(settings: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the options of `ssh -G` that need OpenSSH, as `key value`; `settings` has the values of each key."""
    return tuple(
        f"{key} {value}" for key, values in settings.items() for value in values if not _is_supported(key, value)
    )


def _is_supported(key: str, value: str) -> bool:
    if key in _FILE_LISTS:
        # ssh -G prints names with blanks without quotes, so only absolute names are unambiguous.
        return all(word.startswith(("/", "~")) or word == "none" for word in value.split())
    if key == "preferredauthentications":
        return "publickey" in value.split(",")
    accepted = _ACCEPTED.get(key.lower(), ())
    return accepted is None or value in accepted

"""Secrets in URLs and command lines, masked before anything is stored or printed."""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "***"

_TELLING = (
    r"[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|credential|(?:api|private|access)[-_]?key)"
    r"[\w.-]*"
)

# A password may hold an '@', even a '/': what counts is the last '@' before a space or quote.
_USER_INFO = re.compile(r"(?P<head>[a-zA-Z][\w+.-]*://[^\s:/@'\"]*:)[^\s'\"]+(?=@)")
_QUERY = re.compile(rf"(?P<head>[?&;]{_TELLING}=)[^&;\s'\"]*", re.IGNORECASE)
_ASSIGNMENT = re.compile(rf"^(?P<head>-{{0,2}}{_TELLING}[=:]).*$", re.IGNORECASE | re.DOTALL)
_FLAG = re.compile(rf"^--?{_TELLING}$", re.IGNORECASE)
_KEYWORD = re.compile(
    rf"(?P<head>\b{_TELLING}\s*=\s*)(?:'[^']*'|\"[^\"]*\"|[^\s&;]+)", re.IGNORECASE
)

# Tokens that tell by their form whose they are.
_TOKEN = re.compile(
    r"hf_\w{16,}|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|sk-[\w-]{16,}"
    r"|AKIA[A-Z0-9]{12,}|xox[abpr]-[\w-]{10,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
)


def mask_url(text: str) -> str:
    """The text with the passwords of URLs in it masked, in user info and in query parameters."""
    text = _USER_INFO.sub(rf"\g<head>{MASK}", text)
    return _QUERY.sub(rf"\g<head>{MASK}", text)


def without_passwords(url: str) -> str:
    """The URL without its passwords: how journals name their store.

    The same store is meant whether the password stands in the URL or comes from elsewhere.
    """
    url = mask_url(url).replace(f":{MASK}@", "@")
    head, question, query = url.partition("?")
    kept = [part for part in query.split("&") if not part.endswith(f"={MASK}")]
    return head + (question + "&".join(kept) if any(kept) else "")


def mask_text(text: str) -> str:
    """The text with everything masked that looks like a secret: URLs, assignments, tokens."""
    text = mask_url(text)
    text = _KEYWORD.sub(rf"\g<head>{MASK}", text)
    return _TOKEN.sub(MASK, text)


def mask_command(argv: Sequence[str]) -> list[str]:
    """A command line with its secrets masked: values of telling flags, URLs, known tokens."""
    masked = []
    hide_next = False
    for argument in map(str, argv):
        if hide_next and not argument.startswith("--"):
            masked.append(MASK)
            hide_next = False
            continue
        hide_next = bool(_FLAG.match(argument))
        assigned = _ASSIGNMENT.match(argument)
        masked.append(f"{assigned['head']}{MASK}" if assigned else mask_text(argument))
    return masked

"""Identities of runs: UUIDs that sort by time, and names that people can say."""

from __future__ import annotations

import secrets
import time
import uuid


def uuid7(now_ms: int | None = None) -> str:
    """A UUID version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, 74 random.

    The standard library has one from Python 3.14 on.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    random = secrets.randbits(74)
    value = (now & (1 << 48) - 1) << 80 | 0x7 << 76 | (random >> 62) << 64
    value |= 0b10 << 62 | random & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def readable_name() -> str:
    """A name such as `swift-otter-417`; the store adds a suffix in the rare case of a twin.

    Drawn from the system's randomness: Python's own generator is the user's, and training
    that draws from it must not come out otherwise because it is recorded.
    """
    adjective, noun = secrets.choice(_ADJECTIVES), secrets.choice(_NOUNS)
    return f"{adjective}-{noun}-{secrets.randbelow(1000):03d}"


def nth_name(name: str, n: int) -> str:
    """The name that the n-th run of a name gets: `name`, `name-2`, `name-3`."""
    return name if n == 1 else f"{name}-{n}"


_ADJECTIVES = tuple(
    """
    able agile amber ample apt azure bold brave bright brisk calm clear clever cosy crisp
    daring deft eager early easy fair fancy fine fleet fond fresh gentle glad golden grand
    green happy hardy honest jolly keen kind light lively lucid lucky mellow merry mild neat
    nimble noble plain polite prime proud quick quiet rapid ready royal sharp silent silver
    smart snug solid spry stable steady still sunny sure swift tidy tender vivid warm wise
    witty young zesty
    """.split()
)
_NOUNS = tuple(
    """
    ant badger bat bear beaver bee bison boar camel cat cod crab crane crow deer dingo dove
    duck eagle eel elk emu falcon ferret finch fox frog gecko goat goose grouse gull hare hawk
    heron horse ibex ibis jackal jay kiwi koala lark lemur lion llama lynx magpie mink mole
    moose moth mouse newt otter owl panda perch pike puffin quail rabbit ram raven robin rook
    salmon seal shrew skink snail sparrow stork swan tapir tern tiger toad trout turtle viper
    vole walrus wasp weasel whale wolf wombat wren yak zebra
    """.split()
)

"""The grammar of filters, and of the fields that runs are ordered by and columns show.

Also what its parser tells of a text that does not follow it.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedToken

from tracker.where.mistakes import Mistake, Word
from tracker.where.tokens import BACKQUOTED, PLAIN, TEXT, word_of

# What begins with an underscore is left out of what rules get. Keywords come before names,
# which match them, too. UNREADABLE is whatever no other token is: the parser meets it, which knows
# what was expected in its place. No filter has it, but a rule must, or the lexer were without.
_GRAMMAR = rf"""
?disjunction: conjunction (_OR conjunction)*
?conjunction: negation (_AND negation)*
?negation: _NOT negation -> complement
    | "(" disjunction ")"
    | condition

condition: field COMPARISON operand -> compared
    | field IN _operands -> among
    | field _NOT IN _operands -> not_among
    | field _BETWEEN operand _AND operand -> between
    | field _NOT _BETWEEN operand _AND operand -> not_between
    | field LIKE operand -> like
    | field _NOT LIKE operand -> not_like
    | field _IS NULL -> null
    | field _IS _NOT NULL -> not_null
    | field _IS NAN -> nan
    | field _IS _NOT NAN -> not_nan
    | field -> alone

field: NAME -> named
    | BACKQUOTED -> metric
    | NAME "(" (NAME | BACKQUOTED | TEXT) ")" -> function

_operands: "[" operand ("," operand)* "]"
    | "(" operand ("," operand)* ")"
operand: NUMBER -> number
    | TEXT -> text
    | (TRUE | FALSE | NULL) -> constant

?order: shown -> rising
    | "-" shown -> falling
?shown: field
    | (NAME | BACKQUOTED) ":" NAME -> short_function

unreadable: UNREADABLE

_AND.2: /and(?![\w.])/i
_OR.2: /or(?![\w.])/i
_NOT.2: /not(?![\w.])/i
IN.2: /in(?![\w.])/i
LIKE.2: /like(?![\w.])/i
_BETWEEN.2: /between(?![\w.])/i
_IS.2: /is(?![\w.])/i
NULL.2: /null(?![\w.])/i
NAN.2: /nan(?![\w.])/i
TRUE.2: /true(?![\w.])/i
FALSE.2: /false(?![\w.])/i
NUMBER.2: /[-+]?(?:inf|infinity|(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(?![\w.])/i
COMPARISON.2: /==|=|!=|<>|<=|>=|<|>/
TEXT.2: /{TEXT}/
BACKQUOTED.2: /{BACKQUOTED}/
NAME.1: /[^\W\d]\w*(?:\.(?:{PLAIN}|{TEXT}|{BACKQUOTED})?)*/
UNREADABLE: /["'`][\s\S]*|[\w.]+|&&|[|][|]|[\s\S]/
SPACE.2: /\s+/

%ignore SPACE
"""

#: Words for what the parser expected: the first that are all there stand for them.
_EXPECTED: tuple[tuple[frozenset[str], str], ...] = tuple(
    (frozenset(terminals.split()), words)
    for terminals, words in (
        ("NAME BACKQUOTED LPAR _NOT", "a condition such as epochs > 3"),
        ("NAME BACKQUOTED TEXT", "the name of a metric"),
        ("MINUS NAME BACKQUOTED", "a field such as started, -started or val_loss:min"),
        ("NAME BACKQUOTED", "a field such as started or val_loss:min"),
        ("NAME", "last, min, max or first"),
        ("NUMBER TEXT TRUE FALSE NULL", "a value: a number, a text in quotes, true, false or null"),
        ("COMPARISON IN LIKE _BETWEEN _IS _NOT", "a comparison such as =, in, like or is null"),
        ("IN LIKE _BETWEEN", "in, like or between"),
        ("NULL NAN _NOT", "null, nan or not"),
        ("NULL NAN", "null or nan"),
        ("LSQB LPAR", "values in brackets such as [1, 2]"),
        ("COMMA", '","'),
        ("COLON", '":"'),
        ("RSQB", '"]"'),
        ("RPAR", '")"'),
        ("_AND", "and"),
        ("_OR", "or"),
        ("$END", "the end"),
    )
)

#: What is written in other languages.
_ELSEWHERE = {
    "&": "Write and.",
    "&&": "Write and.",
    "|": "Write or.",
    "||": "Write or.",
    "!": "Write not.",
    "~": 'Write like, as in name like "a%".',
    "asc": "Leave it out: the least comes first.",
    "desc": "Write - before the field, as in -started: the greatest comes first.",
    "contains": 'Write like, as in name like "%part%".',
    "“": 'Write straight quotes: ".',
    "‘": "Write straight quotes: '.",  # noqa: RUF001 - it is meant
}


def parser(transformer: Transformer[Token, Any]) -> Lark:
    """A parser of filters. It gives what the transformer makes of the grammar's rules."""
    # The basic lexer: to one that asks the parser, `and` at a condition's place were a name.
    return Lark(
        _GRAMMAR,
        parser="lalr",
        lexer="basic",
        start=["disjunction", "order", "shown", "unreadable"],
        transformer=transformer,
    )


def unexpected(error: UnexpectedToken, end: Word) -> Mistake:
    """The mistake that the parser met, in a text that ends there."""
    token = error.token
    found = end if token.type == "$END" else word_of(token)
    # At a parenthesis that was never opened, the parser has closed the whole filter already.
    expected = set(error.accepts or error.expected or {"_AND", "_OR", "$END"})
    return Mistake(found, _words(expected), _hint(token, value="NUMBER" in expected))


def _words(expected: AbstractSet[str]) -> str:
    """What the parser expected, as people say it."""
    words, rest = [], set(expected)
    for terminals, phrase in _EXPECTED:
        if terminals <= rest:
            words.append(phrase)
            rest -= terminals
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _hint(token: Token, *, value: bool) -> str:
    """What to write instead of a token, where a value or something else was expected."""
    if value and token.type == "NAME":
        return f'Texts stand in quotes: "{token}".'
    if value and token.type == "NAN":
        return "Write is nan, or is not nan."
    if token.type == "UNREADABLE" and token[0] in "\"'`":
        return "Its closing quote is missing."
    return _ELSEWHERE.get(token.lower(), "")

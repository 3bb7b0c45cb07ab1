"""The filter language of the list of runs: `status = "crashed" and min(val_loss) < 0.3`.

A text is parsed by a grammar, and each rule of it makes a piece of one SQLAlchemy expression:
nothing that a user writes becomes SQL, or Python. docs/how-to/where.md tells the language.
"""

from __future__ import annotations

import contextlib
import functools
import re
import unicodedata
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from lark import Lark, Token, Transformer, UnexpectedToken, v_args
from sqlalchemy import ColumnElement, and_, not_, or_

from tracker.errors import InvalidFilter
from tracker.where_fields import Field, Mistake, Operand, Word, field_of, metric_of

_PLAIN = r"\w[\w-]*"
_TEXT = r""""(?:[^"\\]|\\[\s\S]|"")*"|'(?:[^'\\]|\\[\s\S]|'')*'"""
_BACKQUOTED = r"`(?:[^`]|``)+`"

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
TEXT.2: /{_TEXT}/
BACKQUOTED.2: /{_BACKQUOTED}/
NAME.1: /[^\W\d]\w*(?:\.(?:{_PLAIN}|{_TEXT}|{_BACKQUOTED})?)*/
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
        ("NUMBER TEXT TRUE FALSE NULL", "a value: a number, a text in quotes, true, false or null"),
        ("COMPARISON IN LIKE _BETWEEN _IS _NOT", "a comparison such as =, in, like or is null"),
        ("IN LIKE _BETWEEN", "in, like or between"),
        ("NULL NAN _NOT", "null, nan or not"),
        ("NULL NAN", "null or nan"),
        ("LSQB LPAR", "values in brackets such as [1, 2]"),
        ("COMMA", '","'),
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
    "contains": 'Write like, as in name like "%part%".',
    "“": 'Write straight quotes: ".',
    "‘": "Write straight quotes: '.",  # noqa: RUF001 - it is meant
}

_PART = re.compile(rf"\.({_PLAIN}|{_TEXT}|{_BACKQUOTED})?")
_ESCAPED = {quote: re.compile(rf"\\([\s\S])|{quote}{quote}") for quote in ("'", '"')}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_CONSTANTS = {"true": True, "false": False, "null": None}

#: More than people write, and so little that no database refuses it, or plans it for minutes:
#: SQLite takes expressions of a depth of 1000, and a chain of conditions, or of a list's values,
#: is as deep as long, twice if in a subquery.
_MOST_COMPARISONS = 100
_MOST_VALUES = 300
_DEEPEST = 20

_UNITS = {
    unit: seconds
    for units, seconds in (
        ("s sec secs second seconds", 1),
        ("m min mins minute minutes", 60),
        ("h hr hrs hour hours", 3600),
        ("d day days", 86_400),
        ("w week weeks", 7 * 86_400),
    )
    for unit in units.split()
}
_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

#: How much of a long filter an error shows before and after the place.
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class _Condition:
    """An expression, and how much there is in it."""

    expression: ColumnElement[bool]
    comparisons: int = 1
    #: In lists.
    values: int = 0
    #: Levels of and, or and not.
    depth: int = 0


def compile_where(text: str) -> ColumnElement[bool]:
    """A condition on `schema.runs` for a filter.

    Args:
        text: The filter, such as `status = "crashed" and min(val_loss) < 0.3`.

    Returns:
        For `select(schema.runs).where(…)`. It is never NULL. Times such as "2 hours ago" are
        those of this moment.

    Raises:
        InvalidFilter: With the place, what was found there and what was expected.
    """
    try:
        _check_characters(text)
        return _parser().parse(text, "disjunction").expression  # type: ignore[attr-defined, no-any-return]
    except UnexpectedToken as error:
        mistake = _unexpected(error, len(text.rstrip()))
    except Mistake as error:
        mistake = error
    raise InvalidFilter(_message(text, mistake))


@functools.cache
def _parser() -> Lark:
    # The basic lexer: to one that asks the parser, `and` at a condition's place were a name.
    return Lark(
        _GRAMMAR,
        parser="lalr",
        lexer="basic",
        start=["disjunction", "unreadable"],
        transformer=_Compiler(),
    )


@v_args(inline=True)
class _Compiler(Transformer[Token, _Condition]):
    """What each rule makes. It holds no state: one serves all threads."""

    def disjunction(self, *conditions: _Condition) -> _Condition:
        return _joined(or_(*(one.expression for one in conditions)), *conditions)

    def conjunction(self, *conditions: _Condition) -> _Condition:
        return _joined(and_(*(one.expression for one in conditions)), *conditions)

    def complement(self, condition: _Condition) -> _Condition:
        return _joined(not_(condition.expression), condition)

    def compared(self, field: Field, comparison: Token, operand: Operand) -> _Condition:
        symbol = {"==": "=", "<>": "!="}.get(comparison, str(comparison))
        operator = Word(symbol, _position(comparison))
        return _Condition(field.holds(field.test(operator, operand)))

    def among(self, field: Field, word: Token, *operands: Operand) -> _Condition:
        same = Word("=", _position(word))
        tests = [field.test(same, operand) for operand in operands]
        return _checked(_Condition(field.holds(or_(*tests)), values=len(tests)))

    def not_among(self, field: Field, word: Token, *operands: Operand) -> _Condition:
        other = Word("!=", _position(word))
        tests = [field.test(other, operand) for operand in operands]
        return _checked(_Condition(field.holds(and_(*tests)), values=len(tests)))

    def between(self, field: Field, low: Operand, high: Operand) -> _Condition:
        above = field.test(Word(">=", low.position), low)
        return _Condition(field.holds(and_(above, field.test(Word("<=", high.position), high))))

    def not_between(self, field: Field, low: Operand, high: Operand) -> _Condition:
        below = field.test(Word("<", low.position), low)
        return _Condition(field.holds(or_(below, field.test(Word(">", high.position), high))))

    def like(self, field: Field, word: Token, operand: Operand) -> _Condition:
        return _Condition(field.holds(field.like(_word(word), operand)))

    def not_like(self, field: Field, word: Token, operand: Operand) -> _Condition:
        return _Condition(field.holds(not_(field.like(_word(word), operand))))

    def null(self, field: Field, _word: Token) -> _Condition:
        return _Condition(not_(field.present()))

    def not_null(self, field: Field, _word: Token) -> _Condition:
        return _Condition(field.present())

    def nan(self, field: Field, word: Token) -> _Condition:
        return _Condition(field.nan(_word(word))[0])

    def not_nan(self, field: Field, word: Token) -> _Condition:
        return _Condition(field.nan(_word(word))[1])

    def alone(self, field: Field) -> _Condition:
        return _Condition(field.alone())

    def named(self, name: Token) -> Field:
        return field_of(_word(name), _path(name))

    def metric(self, name: Token) -> Field:
        return metric_of(_word(name), _unquoted(name))

    def function(self, function: Token, name: Token) -> Field:
        shown = Word(f"{function}({name})", _position(function))
        if name.partition(".")[0] in {"params", "tags"}:
            raise Mistake(_word(name), "the name of a metric")
        metric = ".".join(_path(name)) if name.type == "NAME" else _unquoted(name)
        return metric_of(shown, metric, _word(function))

    def number(self, token: Token) -> Operand:
        return Operand(str(token), _position(token), float(token))

    def text(self, token: Token) -> Operand:
        value = _unquoted(token)
        return Operand(str(token), _position(token), value, _seconds(value), _span(value))

    def constant(self, token: Token) -> Operand:
        return Operand(str(token), _position(token), _CONSTANTS[token.lower()])


def _joined(expression: ColumnElement[bool], *parts: _Condition) -> _Condition:
    return _checked(
        _Condition(
            expression,
            comparisons=sum(part.comparisons for part in parts),
            values=sum(part.values for part in parts),
            depth=max(part.depth for part in parts) + 1,
        )
    )


def _checked(condition: _Condition) -> _Condition:
    """The condition, unless there is too much in it."""
    for number, most, what in (
        (condition.comparisons, _MOST_COMPARISONS, "comparisons"),
        (condition.values, _MOST_VALUES, "values in lists"),
        (condition.depth, _DEEPEST, "levels of and, or and not"),
    ):
        if number > most:
            raise Mistake(Word(f"{number} {what}", 0), f"at most {most}")
    return condition


def _position(token: Token) -> int:
    return token.start_pos or 0


def _word(token: Token) -> Word:
    return Word(str(token), _position(token))


def _path(name: Token) -> list[str]:
    """The parts of a dotted name, without their quotes."""
    head = str(name).partition(".")[0]
    path, end = [head], len(head)
    while part := _PART.match(name, end):
        if part[1] is None:
            expected = "a dot with a name, in quotes if it has other characters than letters"
            raise Mistake(Word(".", _position(name) + end), expected)
        path.append(_unquoted(part[1]) if part[1][0] in "\"'`" else part[1])
        end = part.end()
    return path


def _unquoted(text: str) -> str:
    quote, body = text[0], text[1:-1]
    if quote == "`":
        return body.replace("``", "`")
    return _ESCAPED[quote].sub(
        lambda match: quote if match[1] is None else _ESCAPES.get(match[1], match[0]), body
    )


def _seconds(text: str) -> float | None:
    """The length of time that a text such as `1h 30m` tells."""
    total, end = 0.0, 0
    while match := _LENGTH.match(text, end):
        unit = _UNITS.get(match[2].lower())
        if unit is None:
            return None
        total, end = total + float(match[1]) * unit, match.end()
    return total if end == len(text) and end else None


def _span(text: str) -> tuple[int, int] | None:
    """The time that a text tells, in microseconds: its first, and the first after it."""
    words, now = text.strip().lower(), datetime.now(UTC)
    try:
        if words in {"today", "yesterday"}:
            today = now.astimezone().date()
            return _day(today if words == "today" else today - timedelta(days=1))
        if words == "now" or words.endswith(" ago"):
            past = 0.0 if words == "now" else _seconds(words.removesuffix(" ago"))
            return None if past is None else _instant(now - timedelta(seconds=past))
        with contextlib.suppress(ValueError):
            return _day(date.fromisoformat(text.strip()))
        return _instant(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError, OSError):  # of the system's calendar, too
        return None


def _day(day: date) -> tuple[int, int]:
    begin, end = (datetime.combine(one, time()) for one in (day, day + timedelta(days=1)))
    return _instant(begin)[0], _instant(end)[0]


def _instant(moment: datetime) -> tuple[int, int]:
    """A moment, of the local zone if it names none."""
    at = (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND
    return at, at + 1


def _check_characters(text: str) -> None:
    """Refuse what no stored text has: PostgreSQL takes no NUL, and no engine half a character."""
    for position, char in enumerate(text):
        if char == "\x00" or "\ud800" <= char <= "\udfff":
            raise Mistake(Word(f"the character U+{ord(char):04X}", position), "a text without it")


def _unexpected(error: UnexpectedToken, end: int) -> Mistake:
    token = error.token
    found = Word("the end", end) if token.type == "$END" else _word(token)
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


def _message(text: str, mistake: Mistake) -> str:
    """The mistake in words, and its place in the filter."""
    found, position = mistake.found, mistake.found.position
    begin = text.rfind("\n", 0, position) + 1
    column = position - begin
    line = text[begin:].partition("\n")[0]
    if column > _SHOWN:
        line, column = "…" + line[column - _SHOWN :], _SHOWN + 1
    if len(line) > column + _SHOWN:
        line = line[: column + _SHOWN] + "…"
    line = _printable(line)
    caret = " " * sum(map(_width, line[:column])) + "^"
    hint = mistake.hint and f" {mistake.hint}"
    shown = found.text if len(found.text) <= _SHOWN else f"{found.text[:_SHOWN]}…"
    told = _printable(f"found {shown}, expected {mistake.expected}.{hint}")
    return f"The filter cannot be understood: {told}\n  {line}\n  {caret}"


def _printable(text: str) -> str:
    """The text in one line, without what could move a terminal's cursor."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\ufffd" for char in text
    )


def _width(char: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1

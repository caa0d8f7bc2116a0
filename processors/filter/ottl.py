"""Conditions of the OpenTelemetry Transformation Language, as far as filters of spans need them.

Comparisons (``== != < <= > >=``), ``and``, ``or``, ``not``, ``+ - * /``, parentheses; literals, lists, and what
:mod:`spectra_otel.processors.filter.names` has: paths, constants, functions. What is not known is an error when it is read, never
a condition that does not hold. Times and durations are nanoseconds.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.processors.filter.names import (
    ARITHMETIC,
    CONSTANTS,
    FIELDS,
    FUNCTIONS,
    MAPS,
    Value,
    element,
    item_at,
    pattern_of,
)

_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:\\.|[^"\\])*")|(?P<bytes>0x[0-9a-fA-F]+)|(?P<number>\d+\.\d+(?:[eE][-+]?\d+)?|\d+)'
    r"|(?P<op>==|!=|<=|>=|<|>)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[-+*/])|(?P<mark>[()\[\].,]))"
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_DEEPEST = 50


def parse(condition: str) -> Callable[[ReadableSpan], bool]:
    """Read a condition. Raises :class:`ValueError` with what is wrong and where."""
    parser = _Parser(condition)
    found = parser.condition(0)
    if parser.token is not None:
        raise ValueError(f'unexpected "{parser.token}" at {parser.start}')
    return found


class _Parser:
    """A recursive descent over the tokens of one condition."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self.token: str | None = None
        self.kind = ""
        self.start = 0
        self._next()

    def condition(self, depth: int) -> Callable[[ReadableSpan], bool]:
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        parts = [self._conjunction(depth)]
        while self.token == "or":
            self._next()
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else lambda span: any(part(span) for part in parts)

    def _conjunction(self, depth: int) -> Callable[[ReadableSpan], bool]:
        parts = [self._negation(depth)]
        while self.token == "and":
            self._next()
            parts.append(self._negation(depth))
        return parts[0] if len(parts) == 1 else lambda span: all(part(span) for part in parts)

    def _negation(self, depth: int) -> Callable[[ReadableSpan], bool]:
        if self.token == "not":
            self._next()
            inner = self._negation(depth + 1)
            return lambda span: not inner(span)
        if self.token == "(" and not self._opens_a_value():
            self._next()
            inner = self.condition(depth + 1)
            self._expect(")")
            return inner
        return self._comparison(depth)

    def _opens_a_value(self) -> bool:
        """Whether what stands in these parentheses is compared or reckoned with: what follows them tells."""
        open_, position = 1, self._position
        while open_ and (match := _TOKEN.match(self._text, position)):
            open_ += {"(": 1, ")": -1}.get(match["mark"] or "", 0)
            position = match.end()
        after = _TOKEN.match(self._text, position)
        return not open_ and after is not None and after.lastgroup in ("op", "sign")

    def _comparison(self, depth: int) -> Callable[[ReadableSpan], bool]:
        is_path = self.kind == "name" and self.token not in CONSTANTS and self.token not in FUNCTIONS
        left = self._value(depth)
        if self.kind != "op":
            if is_path:
                raise ValueError(f'a comparison is expected at {self.start}, got "{self.token or "the end"}"')
            return lambda span: left(span) is True
        compare = _COMPARE[self.token or ""]
        is_order = self.token not in ("==", "!=")
        takes_equal = self.token in ("<=", ">=")
        self._next()
        right = self._value(depth)

        def holds(span: ReadableSpan) -> bool:
            a, b = left(span), right(span)
            if is_order and (a is None or b is None):
                return takes_equal and a is b
            if isinstance(a, bool) is not isinstance(b, bool) and None not in (a, b):
                return not is_order and compare is operator.ne
            return compare(a, b)

        return holds

    def _value(self, depth: int = 0) -> Value:
        return self._chain(("+", "-"), lambda: self._chain(("*", "/"), lambda: self._operand(depth)))

    def _chain(self, signs: tuple[str, str], operand: Callable[[], Value]) -> Value:
        found = operand()
        while self.kind == "sign" and self.token in signs:
            compute = ARITHMETIC[self.token]
            self._next()
            found = _reckoned(compute, found, operand())
        return found

    def _operand(self, depth: int) -> Value:
        token, kind = self.token, self.kind
        if token is None:
            raise ValueError("the condition ends too early")
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        if token == "-":
            self._next()
            return _reckoned(operator.sub, lambda span: 0, self._operand(depth + 1))
        if token == "(":
            self._next()
            inner = self._value(depth + 1)
            self._expect(")")
            return inner
        if kind == "bytes":
            self._next()
            literal = bytes.fromhex(token[2:] if len(token) % 2 == 0 else f"0{token[2:]}")
            return lambda span: literal
        if kind == "string":
            self._next()
            text = re.sub(r"\\(.)", r"\1", token[1:-1])
            return lambda span: text
        if kind == "number":
            self._next()
            number: float = float(token) if "." in token else int(token)
            return lambda span: number
        if token == "[":
            return self._list()
        if kind != "name":
            raise ValueError(f'unexpected "{token}" at {self.start}')
        self._next()
        if self.token == "(":
            return self._indexed(self._call(token))
        if token in CONSTANTS:
            constant = CONSTANTS[token]
            return lambda span: constant
        return self._indexed(self._path(token))

    def _list(self) -> Value:
        items = self._items("]")
        return lambda span: [item(span) for item in items]

    def _items(self, end: str) -> list[Value]:
        self._next()
        items: list[Value] = []
        while self.token != end:
            if items:
                self._expect(",")
            items.append(self._value())
        self._next()
        return items

    def _call(self, name: str) -> Value:
        function = FUNCTIONS.get(name)
        if function is None:
            raise ValueError(f'undefined function "{name}", valid: {", ".join(FUNCTIONS)}')
        items = self._items(")")
        try:
            expected = function.__code__.co_argcount
        except AttributeError:
            expected = len(items)
        if len(items) != expected:
            raise ValueError(f"{name} takes {expected} arguments, got {len(items)}")
        if not items:
            inner: Value = function()
            return inner
        if name == "IsMatch":
            _check_pattern(items[1])
        return lambda span: function(*(item(span) for item in items))

    def _path(self, first: str) -> Value:
        names = [first]
        while self.token == ".":
            self._next()
            if self.kind != "name":
                raise ValueError(f'a name is expected at {self.start}, got "{self.token}"')
            names.append(self.token or "")
            self._next()
        if names[0] == "span" and len(names) > 1:
            names = names[1:]
        if names[0] == "instrumentation_scope":
            names[0] = "scope"
        path = ".".join(names)
        if path in MAPS and self.token == "[":
            return self._key(MAPS[path])
        found = FIELDS.get(path) or MAPS.get(path)
        if found is None:
            valid = ", ".join([*FIELDS, *(f'{name}["key"]' for name in MAPS)])
            raise ValueError(f'segment "{path}" is not a valid path, valid: {valid}')
        return found

    def _indexed(self, value: Value) -> Value:
        """``["key"]`` and ``[0]`` behind a value."""
        while self.token == "[":
            self._next()
            if self.kind not in ("string", "number"):
                raise ValueError(f'a key or a number is expected at {self.start}, got "{self.token}"')
            text = self.token or ""
            value = _at(value, text[1:-1] if self.kind == "string" else int(text))
            self._next()
            self._expect("]")
        return value

    def _key(self, mapping: Callable[[ReadableSpan], Any]) -> Value:
        self._next()
        if self.kind != "string":
            raise ValueError(f'a key in quotes is expected at {self.start}, got "{self.token}"')
        key = (self.token or "")[1:-1]
        self._next()
        self._expect("]")
        return lambda span: mapping(span).get(key)

    def _expect(self, token: str) -> None:
        if self.token != token:
            raise ValueError(f'"{token}" is expected at {self.start}, got "{self.token or "the end"}"')
        self._next()

    def _next(self) -> None:
        match = _TOKEN.match(self._text, self._position)
        if match is None:
            rest = self._text[self._position :].strip()
            if rest:
                raise ValueError(f'unexpected "{rest[:20]}" at {self._position}')
            self.token, self.kind, self.start = None, "", len(self._text)
            return
        self.kind = match.lastgroup or ""
        self.token = match[self.kind]
        self.start = match.start(self.kind)
        self._position = match.end()


def _reckoned(compute: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    return lambda span: compute(left(span), right(span))


def _at(value: Value, key: str | int) -> Value:
    return (
        (lambda span: element(value(span), key)) if isinstance(key, str) else (lambda span: item_at(value(span), key))
    )


def _check_pattern(item: Value) -> None:
    try:
        text = item(None)  # type: ignore[arg-type]  # a literal does not look at the span
    except AttributeError:
        return
    try:
        pattern_of(str(text))
    except re.error as error:
        raise ValueError(f'the regular expression "{text}" is not valid: {error}') from None

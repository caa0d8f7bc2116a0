"""YAML as the collector reads it: the scalars of its Go library, and a key written twice is an error.

Those are YAML 1.2's with the whole numbers of 1.1: ``on`` and ``1:30`` are text, ``0123`` is 83 and ``1_000`` is 1000. PyYAML is
imported on first use, so that a process without a configuration file never pays for it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from spectra_otel.errors import ConfigError

if TYPE_CHECKING:
    import yaml

_SCALARS: tuple[tuple[str, str, str], ...] = (
    ("tag:yaml.org,2002:null", r"(?:~|null|Null|NULL|)\Z", "~nN\0"),
    ("tag:yaml.org,2002:bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF"),
    (
        "tag:yaml.org,2002:int",
        r"[-+]?(?:0[0-7_]*|[1-9][0-9_]*|0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)\Z",
        "-+0123456789",
    ),
    (
        "tag:yaml.org,2002:float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
        "-+0123456789.",
    ),
    ("tag:yaml.org,2002:merge", r"<<\Z", "<"),
)
"""Tag, form and the characters a scalar of that tag can begin with (``\\0``: the empty scalar), in the order they are tried."""


def parse_yaml(text: str, source: str = "") -> Any:
    """Parse one YAML document.

    Args:
        text: The document; empty gives None.
        source: What errors call it, such as the path of the file.

    Raises:
        ConfigError: One line with source, line and column.
    """
    import yaml

    try:
        return yaml.load(text, _loader())  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise ConfigError(f"{where}: {error.problem or error.context}") from None
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: {' '.join(str(error).split())}") from None


@cache
def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        """SafeLoader with the scalars of Go's library and unique keys."""

        yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  (PyYAML's own class attribute)

    for tag, form, first in _SCALARS:
        Loader.add_implicit_resolver(tag, re.compile(form), ["" if c == "\0" else c for c in first])
    Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
    Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
    return Loader


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(node.value).replace("_", "")
    digits = text.lstrip("+-")
    is_octal = digits.isdecimal() and digits.startswith("0")
    return int(text, 8 if is_octal else 0)


def _construct_map(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Any:
    from yaml.constructor import ConstructorError

    seen: dict[str, int] = {}
    for key_node, _ in node.value:
        key = str(key_node.value)
        if key in seen and key != "<<":
            raise ConstructorError(
                None, None, f'mapping key "{key}" already defined at line {seen[key]}', key_node.start_mark
            )
        seen[key] = key_node.start_mark.line + 1
    loader.flatten_mapping(node)
    return {str(k): v for k, v in loader.construct_mapping(node, deep=True).items()}

"""How does a value get into `.env`? Into its own line, the rest untouched to the byte, for the owner alone.

The file is the user's, with his comments and his order of lines; only the value between the sign and a
comment behind it is replaced. environment.py reads the file, and says which names there are.
"""

import re
from pathlib import Path

from files import write_atomically
from outcome import ConfigError


def put_value(env_file: Path, name: str, value: str) -> None:
    """A line of that name is filled in, also an empty one; else it is added at the end."""
    assert re.fullmatch(r"[\w.+/=-]+", value), "a value that would need quotes"
    text = _text(env_file)
    changed, count = _line(name).subn(rf"\g<1>{value}\g<2>", text)
    if count == 0:
        end = "" if not text or text.endswith("\n") else "\n"
        changed = f"{text}{end}{name}={value}\n"
    write_atomically(env_file, changed.encode(), mode=0o600)


def _text(env_file: Path) -> str:
    try:
        return env_file.read_bytes().decode() if env_file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{env_file} cannot be read: {error}; make it yours and UTF-8") from None


def _line(name: str) -> re.Pattern[str]:
    """Up to its sign; and what stands behind the value."""
    return re.compile(rf"(?m)^((?:export[ \t]+)?{re.escape(name)}[ \t]*=)[^\r\n]*?([ \t]+#[^\r\n]*)?(?=\r?$)")

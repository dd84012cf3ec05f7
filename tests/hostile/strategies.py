"""What hostile input is drawn from: bytes that are nearly a valid file, trees that are nearly valid JSON, names."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

#: Bytes that readers stumble over: ends of integers, sizes, signs that part things.
ODD_BYTES = (
    *(b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\x80\x00\x00\x00"),
    *(b"\r", b"\n", b'"', b",", b";", b"\t", b"{", b"[", b"]", b"}", b"\xef\xbb\xbf", b"\xfe\xff", b"\xed\xa0\x80"),
    *(b"NaN", b"Infinity", b"-1", b"9" * 400, b"1e999", b"..", b"../", b"/", b"\\", b"//", b"/*", b"null", b"[[[["),
)
#: Names that lead elsewhere, are none, or are too long.
ODD_NAMES = (
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "../outside.png",
        "..\\outside.png",
        "C:\\Windows\\win.ini",
        "",
        ".",
        "..",
        "/",
    ),
    *("a\0b.png", "\0", "a" * 300 + ".png", "x/" * 2000 + "a.png", "file:///etc/passwd", "http://127.0.0.1:1/a.png"),
    *(
        "~/a.png",
        "~root/a.png",
        "$HOME/a.png",
        "0.png/../../outside.png",
        "folder.png",
        "loop.png",
        "out.png",
        "pipe.png",
    ),
    *(
        "/dev/zero",
        "/proc/self/environ",
        "nan",
        "NA",
        "-",
        "=1+1",
        "\u202egnp.a",
        "a\nb.png",
        "\ud800.png",
        "*",
        "[0-9].png",
    ),
)
#: Text with everything that may be in it, lone surrogates too.
texts = st.text(st.characters(), max_size=12) | st.sampled_from(ODD_NAMES)
numbers = (
    st.sampled_from([0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**300, 10**400, 0.5, 1e308, -0.0, 5e-324]) | st.floats()
)
leaves = st.none() | st.booleans() | st.integers(-9, 9) | numbers | texts
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)

_places = st.integers(0, 2**32 - 1)
_changes = st.lists(
    st.tuples(
        st.sampled_from(("flip", "flip", "flip", "put", "put", "cut", "drop", "again", "insert", "swap")),
        _places,
        _places,
        st.sampled_from(ODD_BYTES) | st.binary(min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=3,
)


def change_bytes(content: bytes, changes: Sequence[tuple[str, int, int, bytes]]) -> bytes:
    """Bytes with bits flipped, parts left out, doubled, swapped and put in, or cut short."""
    for what, first, second, other in changes:
        size = max(1, len(content))
        start = first % size
        # Mostly near: what is far takes away nearly all.
        end = start + 1 + second % (64 if second % 4 else size)
        if what == "flip" and content:
            content = content[:start] + bytes([content[start] ^ (1 << second % 8)]) + content[start + 1 :]
        elif what == "put":
            content = content[:start] + other + content[start + len(other) :]
        elif what == "cut":
            content = content[:start]
        elif what == "drop":
            content = content[:start] + content[end:]
        elif what == "again":
            content = content[:end] + content[start:]
        elif what == "insert":
            content = content[:start] + other + content[start:]
        elif what == "swap":
            content = content[:start] + content[end : end + 64] + content[start:end] + content[end + 64 :]
    return content


def mutated(contents: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of these contents, changed here and there; now and then bytes of no kind."""
    changed = st.builds(change_bytes, st.sampled_from(list(contents)), _changes)
    return st.one_of(*[changed] * 9, st.binary(max_size=200))


def places_in(tree: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything in a tree, by keys and numbers."""
    found: list[tuple[Any, ...]] = [above] if above else []
    if isinstance(tree, dict):
        for key in tree:
            found += places_in(tree[key], (*above, key))
    elif isinstance(tree, list):
        for number, each in enumerate(tree):
            found += places_in(each, (*above, number))
    return found


def change_tree(tree: Any, changes: Sequence[tuple[str, int, Any]]) -> Any:
    """A tree with values replaced, left out or called otherwise."""
    tree = copy.deepcopy(tree)
    for what, place, value in changes:
        ways = places_in(tree)
        if not ways:
            return value
        *way, last = ways[place % len(ways)]
        holder = tree
        for step in way:
            holder = holder[step]
        if what == "replace":
            holder[last] = copy.deepcopy(value)
        elif what == "drop":
            del holder[last]
        elif isinstance(holder, dict):
            holder[str(value)[:20]] = holder.pop(last)
        else:
            holder.insert(last, copy.deepcopy(value))
    return tree


def mutated_trees(known: Sequence[Any], values: st.SearchStrategy[Any] = trees) -> st.SearchStrategy[Any]:
    """One of these trees with some of its parts changed."""
    change = st.tuples(st.sampled_from(("replace", "replace", "replace", "drop", "rename")), _places, values)
    return st.builds(change_tree, st.sampled_from(list(known)), st.lists(change, min_size=1, max_size=3))


def as_json(tree: Any, how: int) -> bytes:
    """JSON as somebody may keep it: indented or not, with a mark, in other encodings, with comments cut anywhere."""
    text = json.dumps(tree, indent=2 if how % 2 else None, ensure_ascii=how % 5 != 0)
    special: dict[int, Callable[[str], bytes]] = {
        3: lambda text: b"\xef\xbb\xbf" + text.encode(errors="replace"),
        5: lambda text: text.encode("utf-16", errors="replace"),
        7: lambda text: text.encode("latin-1", errors="replace"),
        9: lambda text: _cut_comment(text, how).encode(errors="replace"),
        11: lambda text: (text[:-1] + ", " + text[1:]).encode(errors="replace"),  # every key twice
        13: lambda text: ("[" * (how % 200000) + text).encode(errors="replace"),
        14: lambda text: ('{"a":' * (how % 90000) + text + "}" * (how % 90000)).encode(errors="replace"),
    }
    return special.get(how % 16, lambda text: text.encode(errors="surrogatepass"))(text)


def _cut_comment(text: str, how: int) -> str:
    place = how % max(1, len(text))
    return text[:place] + ("// said\n", "//", "/* said */", "/*", "*/", "/")[how % 6] + text[place:]


def json_files(known: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Files that were JSON, changed as trees, as text and as bytes."""
    plain = [json.dumps(tree, indent=2).encode() for tree in known]
    changed = st.builds(as_json, mutated_trees(known), st.integers(0, 2**20))
    return st.one_of(changed, changed, mutated(plain), st.builds(as_json, trees, st.integers(0, 2**20)))

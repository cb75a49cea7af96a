"""Pages as a real browser shows them: Debian's Chromium without a window, for local files only."""

import os
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

_QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1"
).split()


class Element:
    """HTML element with its attributes, its text and its children."""

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name, self.attributes = name, attributes
        self.children: list[Element] = []
        self.own: list[str] = []

    def all(self, name: str, **attributes: str) -> "list[Element]":
        """Return this element and those inside that have a name, and the given words in their attributes."""
        found = [each for child in self.children for each in child.all(name, **attributes)]
        fits = all(word in self.attributes.get(key.rstrip("_"), "").split() for key, word in attributes.items())
        return [self, *found] if self.name == name and fits else found

    @property
    def text(self) -> str:
        """Text of the element and of all elements inside."""
        return "".join([*self.own, *(child.text for child in self.children)])

    @property
    def shown(self) -> bool:
        """True if the element is not hidden."""
        return "hidden" not in self.attributes


class _Tree(HTMLParser):
    """Parser that builds elements from a browser's HTML, in which nearly every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs})
        self.open[-1].children.append(element)
        if tag not in {"meta", "input", "link", "img", "br"}:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if any(each.name == tag for each in self.open):
            while self.open.pop().name != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.open[-1].own.append(data)


class Browser:
    """Browser for pages, with its profile in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program = shutil.which("chromium")
        if program is None:
            reason = "chromium is not here"
            if os.environ.get("NODEWALL_REQUIRE_KERNEL") == "1":  # as root, `make` installs it
                pytest.fail(reason)
            pytest.skip(reason)
        self._program = program

    def _run(self, page: Path, asked: str, *flags: str) -> str:
        words = [
            self._program,
            *_QUIET,
            f"--user-data-dir={self._folder / 'profile'}",
            *flags,
            f"{page.as_uri()}#{asked}",
        ]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout

    def elements(self, page: Path, asked: str = "") -> Element:
        """Return the page after its scripts ran; ``asked`` is the fragment of its address."""
        tree = _Tree()
        tree.feed(self._run(page, asked, "--dump-dom"))
        return tree.open[0]

    def screenshot(self, page: Path, asked: str = "", size: tuple[int, int] = (1000, 900)) -> "Image.Image":
        """Return a picture of the page in a window of ``size`` pixels."""
        path = self._folder / "screen.png"
        self._run(page, asked, f"--screenshot={path}", f"--window-size={size[0]},{size[1]}")
        with Image.open(path) as image:
            return image.convert("RGB")

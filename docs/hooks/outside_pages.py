"""Pages of the site that lie outside ``docs/``: CONTRIBUTING, CHANGELOG, and a page with the text of every file that a page links to.

Links in the documents are relative, so that they work on a forge and in an editor; here they are turned to the site's pages.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "docs"
PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}  # in the root of the checkout -> on the site
START = {"README.md": "index.md"}  # the site has a start page of its own
SOURCE = "source"  # folder of the site with the text of other files
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".sh": "bash", ".toml": "toml", ".json": "json"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in ``docs/``, and those that these link to."""
    for name, place in PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / name).read_text(encoding="utf-8")))
    waiting = [(_folder(file.src_uri), file.content_string) for file in files.documentation_pages()]
    while waiting:
        folder, text = waiting.pop()
        for target, _ in LINK.findall(text):
            path = _linked(folder, target)
            if path is None or path.is_relative_to(DOCUMENTS) or _place(path) in files.src_uris:
                continue
            shown = _folder_text(path) if path.is_dir() else _file_text(path)
            files.append(File.generated(config, _place(path), content=shown))
            waiting.append((path if path.is_dir() else path.parent, shown))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that lead out of ``docs/``, or into it from outside, lead to the pages of the site."""
    uri = page.file.src_uri
    up = "../" * (len(PurePosixPath(uri).parts) - 1)
    is_outside = uri in PAGES.values() or uri.startswith(f"{SOURCE}/")

    def on_the_site(found: re.Match[str]) -> str:
        path = _linked(_folder(uri), found[1])
        if path is None or (path.is_relative_to(DOCUMENTS) and not is_outside):
            return found[0]
        place = path.relative_to(DOCUMENTS).as_posix() if path.is_relative_to(DOCUMENTS) else _place(path)
        return f"]({up}{place}{found[2] or ''})"

    return LINK.sub(on_the_site, markdown)


def _folder(uri: str) -> Path:
    """The folder of the checkout that the relative links of a page count from."""
    if uri in PAGES.values():
        return ROOT
    if uri.startswith(f"{SOURCE}/"):
        return (ROOT / uri.removeprefix(f"{SOURCE}/")).parent
    return (DOCUMENTS / uri).parent


def _linked(folder: Path, target: str) -> Path | None:
    """The file or folder of the checkout that a link names; None where it names none, or a page that is made when the site is built."""
    path = (folder / target).resolve()
    return path if "://" not in target and path.exists() and path.is_relative_to(ROOT) else None


def _place(path: Path) -> str:
    name = path.relative_to(ROOT).as_posix()
    shown = (
        f"{SOURCE}/{name}/index.md" if path.is_dir() else f"{SOURCE}/{name}" if path.suffix == ".md" else f"{SOURCE}/{name}.md"
    )
    return {**PAGES, **START}.get(name, shown)


def _file_text(path: Path) -> str:
    """A document as it is, other text as code."""
    name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", text))])
    return f"# {path.name}\n\n`{name}` of the checkout.\n\n{fence}{LANGUAGES.get(path.suffix, 'text')}\n{text}{fence}\n"


def _folder_text(path: Path) -> str:
    names = sorted(inner.name for inner in path.iterdir() if inner.is_file() and not inner.name.startswith("."))
    rows = "\n".join(f"- [{name}]({name})" for name in names)
    return f"# {path.name}/\n\n`{path.relative_to(ROOT).as_posix()}` of the checkout.\n\n{rows}\n"

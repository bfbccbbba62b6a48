"""Sphinx: the documentation site, built by ``make docs`` into ``site/``.

README, CONTRIBUTING, SECURITY and CHANGELOG are pages of the site by small files that include
them. Links from a page to a file above docs/, such as a config, offer that file for download.
"""

import re

project = "mixnet_dense"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "mixnet_dense"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = html_show_copyright = False
pygments_style, pygments_dark_style = "default", "github-dark"

myst_heading_anchors = 3
autodoc_typehints = "none"

# Where links end: in the repository, and in the site.
_LINKS = [
    (r"\]\((?:\.\./)?README\.md", "](index.md"),
    (r"\]\((?:\.\./)?CONTRIBUTING\.md", "](contributing.md"),
    (r"\]\((?:\.\./)?SECURITY\.md", "](security.md"),
    (r"\]\(docs/", "]("),
    (r"\]\(configs/", "](../configs/"),
]


def _relink(_app, *others):
    """Links of a page, or of what it includes, as they must be in the folder of the pages."""
    text = others[-1]
    for pattern, replacement in _LINKS:
        text[0] = re.sub(pattern, replacement, text[0])


def setup(app):
    app.connect("source-read", _relink)
    app.connect("include-read", _relink)

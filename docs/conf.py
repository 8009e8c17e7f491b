"""How Sphinx builds the documentation site: `make docs`, then docs/_build/html/index.html."""

from __future__ import annotations

import os

from mien import __version__

project = "mien"
author = "the mien contributors"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "jupyter_execute"]

# Markdown. Each heading has an anchor as GitHub makes it, so that links work there and here.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

# The notebook runs anew with each build, and a failing cell fails the build.
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # progress bars that complain of notebooks
nb_ipywidgets_js = {}  # else the pages would fetch them from a CDN
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

# The Python reference. Docstrings put code between single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"

# A link that leads nowhere fails the build (`sphinx -W`). Names of other projects are no links:
# looking them up would need the network.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r".*")]
# The names under "Attributes:" count as links, and more than one class has `labels`.
suppress_warnings = ["ref.python"]

# Colours and mark are those of the page that `mien serve` opens.
html_theme = "furo"
html_title = "mien"
html_favicon = "../mien/serving/page/icon.svg"
html_logo = html_favicon
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
_LIGHT = {"primary": "#1d1b18", "content": "#1f5fd6", "visited": "#1f5fd6"}
_DARK = {"primary": "#f3f0ea", "content": "#8db4ff", "visited": "#8db4ff"}
html_theme_options = {
    "light_css_variables": {
        **{f"color-brand-{name}": colour for name, colour in _LIGHT.items()},
        "color-background-primary": "#ffffff",
        "color-background-secondary": "#faf8f5",
    },
    "dark_css_variables": {
        **{f"color-brand-{name}": colour for name, colour in _DARK.items()},
        "color-background-primary": "#151413",
        "color-background-secondary": "#1e1d1b",
    },
}

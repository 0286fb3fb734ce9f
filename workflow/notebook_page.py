"""An executed notebook as a page of its own, HTML beside it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mer_lib.places import atomic_write

# Each figure's own words (mer_lib.plots.DescribedFigure) for those who cannot see it
DESCRIBED = """{%- extends 'index.html.j2' -%}
{%- block data_png scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output"><img
alt="{{ ((output | get_metadata('alt', 'image/png')) or 'figure') | escape_html }}"
src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"></div>
{%- endblock -%}
"""


def export_html(executed: Path) -> None:
    """Write the executed notebook as a page beside it; a page that cannot be made is no reason to fail.

    It fetches nothing from the web: no notebook has formulas, and what widgets show stands beside them as pictures.
    """
    try:
        import nbformat
        from jinja2 import DictLoader
        from nbconvert import HTMLExporter

        notebook = nbformat.read(executed, as_version=4)
        notebook.metadata.pop("widgets", None)
        described = {
            "template_file": "described.html.j2",
            "extra_loaders": [DictLoader({"described.html.j2": DESCRIBED})],
        }
        exporter = HTMLExporter(template_name="lab", mathjax_url="", require_js_url="", **described)
        body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": executed.stem}})
        body = re.sub(r'<script src="">\s*</script>', "", body)
        atomic_write(executed.with_suffix(".html"), lambda part: part.write_text(body, "utf-8"))
    except Exception as error:  # nbconvert has many; none of them concerns the result
        print(f"{executed.name}: no HTML ({type(error).__name__}: {error})", file=sys.stderr)

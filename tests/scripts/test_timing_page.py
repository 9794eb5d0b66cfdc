import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_page_is_what_the_table_says():
    script = runpy.run_path(str(ROOT / "build" / "timing_page.py"))
    page = (ROOT / "docs" / "timing-table.md").read_text(encoding="utf-8")
    assert page == script["page"](), "run python build/timing_page.py"

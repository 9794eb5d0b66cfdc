import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "build" / "isa_page.py"


def load_script():
    spec = importlib.util.spec_from_file_location("isa_page", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_page_of_the_instruction_set_is_current():
    script = load_script()
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "python build/isa_page.py"

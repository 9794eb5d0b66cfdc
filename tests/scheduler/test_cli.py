"""Bad input ends with one line that names it, status 2, and leaves nothing behind."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from scheduler.cli import _parser, main
from scheduler.commands.errors import UsageError
from scheduler.commands.files import output_folder
from scheduler.commands.models import choose_model
from scheduler.commands.run import commands_file, prompts_and_answers
from scheduler.commands.variants import VARIANTS


@pytest.fixture
def fails(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def check(*arguments):
        before = sorted(tmp_path.rglob("*"))
        assert main([str(a) for a in arguments]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("neupims: ")
        assert sorted(tmp_path.rglob("*")) == before
        return captured.err

    return check


def test_unknown_option(fails):
    assert "--nonsense" in fails("run", "--nonsense")


def test_unknown_command(fails):
    assert "'walk'" in fails("walk")


def test_unknown_value(fails):
    assert "'fpga'" in fails("run", "--device", "fpga")


def test_unknown_config(fails):
    message = "neupims: --config must be paper, tiny, hbm3, aim or a .toml file, not 'huge'\n"
    assert fails("run", "--config", "huge") == message


def test_unknown_model_and_the_nearest_name(fails):
    message = (
        "neupims: --model must be one of tiny-gpt, tiny-llama or a config.json, not 'tiny-lama' "
        "(the nearest name is tiny-llama)\n"
    )
    assert fails("run", "--model", "tiny-lama") == message
    assert "nearest name" in fails("run", "--model", "???")


def test_model_without_weights(fails):
    assert "--model must have weights, as tiny-gpt and" in fails("run", "--model", "gpt3-7b")


LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 256,
    "max_position_embeddings": 128,
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 0}, "hidden_size must be a positive integer, not 0"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be a positive integer, not -1"),
        ({"rope_scaling": {"type": "yarn"}}, 'type of rope_scaling must be "default"'),
        ({"vocab_size": 255}, "vocab_size must be at least 256, since prompts are bytes, not 255"),
        (
            {"num_hidden_layers": 80, "hidden_size": 8192, "intermediate_size": 28672},
            "rows must be",
        ),
        ({"num_attention_heads": 8}, "d_head must be a multiple of a burst"),
        ({"intermediate_size": 190}, "w_gate must be a multiple of the array, 4 × 4"),
        ({"intermediate_size": 384}, "activation_bytes must hold at least"),
        ({"max_position_embeddings": 512}, "lane_buffer_bytes (channel 0) must hold at least"),
    ],
)
def test_model_that_cannot_be_run(fails, tmp_path, changes, words):
    path = tmp_path / "config.json"
    if changes.get("num_attention_heads") == 8:
        changes = {**changes, "hidden_size": 32}
    path.write_text(json.dumps({**LLAMA, **changes}))
    message = fails("run", "--model", path)
    assert words in message
    assert "config.json" in message


def test_missing_model_file(fails, tmp_path):
    assert "--model must be a readable file" in fails("run", "--model", tmp_path / "none.json")


def test_missing_prompts(fails, tmp_path):
    path = tmp_path / "none.txt"
    message = (
        f"neupims: --prompts must be a readable file, not '{path}' (No such file or directory)\n"
    )
    assert fails("run", "--prompts", path) == message


def test_empty_prompts(fails, tmp_path):
    path = tmp_path / "empty.txt"
    path.write_text("\n\n")
    assert "at least one prompt" in fails("run", "--prompts", path)


def test_prompts_that_are_not_utf8(fails, tmp_path):
    path = tmp_path / "binary.txt"
    path.write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in fails("run", "--prompts", path)


def test_prompt_longer_than_the_context(fails, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("short\n" + "x" * 129 + "\n")
    message = fails("run", "--prompts", path)
    assert "at most 128 bytes" in message
    assert "not 129 (prompt 2 of" in message


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("[memory]\nrow_bytes = 72", "row_bytes must be a power of two, not 72"),
        ("[memory]\nchannels = 3", "channels must be a power of two, not 3"),
        ("colour = 1", "colour must be one of name, memory, pim, controller, npu, link"),
        ("[npu]\ncolour = 1", "npu.colour must be one of array_rows, "),
        (
            "rows = 256\n[memory]\nrows = 256",
            "rows must stand once, not in the table [memory], too",
        ),
        ("rows = 256.0", "memory.rows must be a whole number, not 256.0"),
        ("nFAW = 16", "nFAW must stand in the table [memory.timing]"),
        ("[npu]\nrows = 256", "npu.rows must stand in the table [memory]"),
        ("timing = 3", "memory.timing must be a table, not 3"),
        ("memory = 3\nrows = 256", "memory must be a table, not 3"),
        ("[memory]\nnFAW = 16", "memory.nFAW must stand in the table [memory.timing]"),
        ("memory = 3", "memory must be a table, not 3"),
        ("[memory]\ntiming = 3", "memory.timing must be a table, not 3"),
        ("[memory]\nrows = 256.0", "memory.rows must be a whole number, not 256.0"),
        ("[memory]\nrows = '256'", "memory.rows must be a whole number, not '256'"),
        ("[memory]\nrows = true", "memory.rows must be a whole number, not True"),
        ("[controller]\npim_header = 1", "controller.pim_header must be true or false, not 1"),
        ("[pim]\ngwrite = 2", "pim.gwrite must be a text, not 2"),
        ("[memory]\naddress_order = 2", "memory.address_order must be a list, not 2"),
        (
            "[npu]\nlanes = 'x'\narrays = 1.5",
            "npu.arrays must be a whole number, not 1.5; npu.lanes must be a whole number, not 'x'",
        ),
        ("[memory]\nrows = 64", "rows must be above"),
        ("[npu]\nrow_list_entries = 64", "row_list_entries must be at least"),
        ("[memory.timing]\nnRAS = 3", "nRAS must be at least nRCD"),
        ("[npu]\nlanes = [", "must be TOML"),
        (
            "[controller]\npostpone = 1\n[memory.timing]\nnREFI = 300",
            "postpone × nREFI must exceed the longest tile",
        ),
        ("[memory.timing]\nnRCD = 2", "nRCD must be above 2 cycles"),
        ("[pim]\npartial_sums = 1", "partial_sums × nCCDL must be above 3 cycles"),
        ("[npu]\nvector_partial_sums = 2", "vector_partial_sums must be at least 3"),
    ],
)
def test_configuration_that_cannot_be_built(fails, tmp_path, lines, words):
    path = tmp_path / "mine.toml"
    path.write_text(f'preset = "tiny"\n{lines}\n')
    message = fails("run", "--config", path)
    assert words in message
    assert "mine.toml" in message


def test_cache_that_does_not_fit(fails, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text('preset = "tiny"\n[memory]\nrows = 256\n')
    assert "must fit an empty channel" in fails("run", "--config", path)


def test_output_folder_that_cannot_be_written(fails, tmp_path):
    (tmp_path / "file").write_text("")
    assert "--out must be a folder" in fails("run", "--out", tmp_path / "file" / "out")


def test_commands_file_that_cannot_be_written(fails, tmp_path):
    (tmp_path / "file").write_text("")
    assert "the folder of --commands must be a folder" in fails(
        "run", "--commands", "file/trace.csv"
    )
    (tmp_path / "folder").mkdir()
    assert "--commands must be a file" in fails("run", "--commands", "folder")


def test_commands_file_of_each_variant(tmp_path):
    path = tmp_path / "trace.csv"
    names = [commands_file(path, variant, alone=False).name for variant in VARIANTS]
    schedules = ("serial", "heads", "serial_plus", "interleaved")
    assert names == [f"trace-{schedule}.csv" for schedule in schedules]
    assert commands_file(path, VARIANTS[0], alone=True) == path


def test_answer_tokens(fails):
    assert "--answer-tokens must be at least 1, not 0" in fails("run", "--answer-tokens", "0")


def _fail(path, write):
    with output_folder(path, "--out") as out:
        write(out)
        raise UsageError("the body fails")


def test_folders_made_for_nothing_are_removed(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError):
        _fail(tmp_path / "there" / "a" / "b", lambda out: out.stat())
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "there"]


def test_a_folder_that_holds_something_stays(tmp_path):
    with pytest.raises(UsageError):
        _fail(tmp_path / "a" / "b", lambda out: (out / "result").write_text("kept"))
    assert (tmp_path / "a" / "b" / "result").read_text() == "kept"


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("neupims ")


@pytest.mark.parametrize("command", ["run", "export", "check-trace"])
def test_help_shows_an_example(capsys, command):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert f"neupims {command} " in capsys.readouterr().out.partition("example")[2]


@pytest.mark.parametrize("name", ["", " "])
@pytest.mark.parametrize("command", ["run", "export"])
def test_folder_without_a_name(fails, command, name):
    assert "must be the name of a folder" in fails(command, "--out", name)


@pytest.mark.parametrize("command", ["run", "export"])
def test_folder_whose_name_is_too_long(fails, command):
    assert "--out must be a folder that can be written" in fails(command, "--out", "x" * 300)


def test_commands_file_whose_name_is_too_long(fails):
    assert "--commands must have a name" in fails("run", "--commands", "x" * 300 + ".csv")


@pytest.mark.parametrize("option", ["--config", "--model", "--prompts", "--requests"])
def test_input_that_never_ends(fails, option, tmp_path):
    endless = tmp_path / {"--config": "x.toml", "--model": "x.json"}.get(option, "x.txt")
    endless.symlink_to("/dev/zero")
    assert f"{option} must have at most 67,108,864 bytes" in fails("run", option, endless)


def test_table_given_as_prompts(fails, tmp_path):
    path = tmp_path / "requests.csv"
    path.write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,12,3\n")
    message = fails("run", "--prompts", path)
    assert "--prompts must be text, not a table of requests" in message
    assert "use --requests" in message


def test_requests_beyond_the_context(fails, tmp_path):
    path = tmp_path / "requests.csv"
    path.write_text("num_prefill_tokens,num_decode_tokens\n12,3\n100,30\n")
    message = fails("run", "--requests", path)
    assert "at most 129 tokens" in message
    assert "not 130 (request 2 of" in message


def test_requests_and_prompts_together(fails, tmp_path):
    message = fails("run", "--requests", "a.csv", "--prompts", "b.txt")
    assert "--requests and --prompts must not be given together" in message


@pytest.fixture
def chosen(tmp_path):
    """Return the prompts and answers that ``neupims run`` takes from a file."""

    def choose(option, content, name="file.txt"):
        path = tmp_path / name
        path.write_bytes(content)
        options = _parser().parse_args(["run", option, str(path), "--answer-tokens", "5"])
        return prompts_and_answers(options, choose_model("tiny-gpt"))

    return choose


def test_prompts_as_editors_write_them(chosen):
    expected = ((b"Hello", b"The sea"), (5, 5))
    for content in (
        b"Hello\nThe sea\n",
        b"\xef\xbb\xbfHello\r\nThe sea\r\n\r\n",
        gzip.compress(b"Hello\nThe sea"),
    ):
        assert chosen("--prompts", content) == expected


def test_requests_become_prompts_of_their_lengths(chosen):
    table = (
        b"\xef\xbb\xbfarrived_at,num_prefill_tokens,num_decode_tokens\r\n0.0,12,3\r\n0.7,30.0,5\r\n"
    )
    prompts, answers = chosen("--requests", table)
    assert [len(prompt) for prompt in prompts] == [12, 30]
    assert answers == (3, 5)
    assert chosen("--requests", gzip.compress(table)) == (prompts, answers)


def test_terminal_that_knows_ascii_alone(tmp_path):
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "scheduler.cli", "run", "--model", "\u00e9.json"]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"neupims: --model must be a readable file")
    assert ended.stderr.count(b"\n") == 1


@pytest.mark.parametrize("module", ["sim.benchmark", "sim.traffic"])
def test_interrupt_is_a_line(module):
    process = subprocess.Popen(
        [sys.executable, "-m", module], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    time.sleep(0.4)
    for _ in range(60):  # one may come while Python cannot take it
        process.send_signal(signal.SIGINT)
        try:
            _out, err = process.communicate(timeout=1)
            break
        except subprocess.TimeoutExpired:
            pass
    else:
        process.kill()
        pytest.fail("it goes on after an interrupt")
    assert b"Traceback" not in err
    assert process.returncode in (130, -signal.SIGINT)


def test_cache_that_is_a_file(tmp_path, monkeypatch, capfd):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEUPIMS_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--variant", "heads", "--answer-tokens", "1"]) == 2
    error = capfd.readouterr().err
    assert "$NEUPIMS_CACHE" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(("name", "value"), [("read_queue", 1), ("write_queue", 1)])
def test_queue_of_one(fails, tmp_path, name, value):
    path = tmp_path / "mine.toml"
    path.write_text(
        f'preset = "tiny"\n[controller]\n{name} = {value}\nwrite_high = 1\nwrite_low = 0\n'
    )
    assert f"{name} must be at least 2, not 1" in fails("run", "--config", path)


@pytest.mark.parametrize("name", ["", "two\\nlines"])
def test_name_that_is_no_line(fails, tmp_path, name):
    path = tmp_path / "mine.toml"
    path.write_text(f'preset = "tiny"\nname = "{name}"\n')
    assert "name must be a line of text, not " in fails("run", "--config", path)

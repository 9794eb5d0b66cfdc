import re
from pathlib import Path

from scheduler.models.catalog import CATALOG
from scheduler.models.weights import load_prompts

CORPUS = Path(__file__).parents[2] / "build" / "tiny_corpus.txt"


def test_every_sentence_fits_the_context():
    for line in CORPUS.read_bytes().splitlines():
        assert 0 < len(line) < CATALOG["tiny-gpt"].shape.context
        assert line.isascii()


def test_no_sentence_is_there_twice():
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    assert len(set(lines)) == len(lines)


def test_every_prompt_is_made_of_sentences_that_the_model_was_trained_on():
    text = CORPUS.read_text(encoding="utf-8")
    sentences = {sentence.strip() for sentence in re.findall(r"[^.?!]+[.?!]", text)}
    for prompt in {*load_prompts("tiny-gpt"), *load_prompts("tiny-llama")}:
        *complete, last = re.findall(r"[^.?!]+[.?!]?", prompt.decode())
        assert {sentence.strip() for sentence in complete} <= sentences, prompt
        assert any(sentence.startswith(last.strip()) for sentence in sentences), prompt

import re

import pytest

from scheduler.workload.request_tables import looks_like_a_table, read_requests

VIDUR = "arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,12,3\n0.75,30,5\n"


def lengths(text):
    return [(request.prompt, request.answer) for request in read_requests(text)]


@pytest.mark.parametrize(
    "text",
    [
        VIDUR,
        VIDUR.replace("\n", "\r\n"),
        VIDUR + "\n\n",
        VIDUR.replace("12", "12.0").replace("30", '"30"'),
        "num_decode_tokens,arrived_at,num_prefill_tokens\n3,0.0,12\n5,1.0,30\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,12,3\n2024,30,5\n",
        (
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
            "5,ChatGPT,12,3,15,API\n45,GPT-4,30,5,35,API\n"
        ),
        "input_toks,output_toks,arrival_time_ns\n12,3,0\n30,5,9\n",
        (
            '{"timestamp": 0, "input_length": 12, "output_length": 3, "hash_ids": [1]}\n'
            '{"timestamp": 9, "input_length": 30, "output_length": 5.0, "hash_ids": []}\n'
        ),
    ],
)
def test_tables_of_every_kind(text):
    assert looks_like_a_table(text.splitlines()[0])
    assert lengths(text) == [(12, 3), (30, 5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it must hold at least one request, but is empty"),
        ("num_prefill_tokens,num_decode_tokens\n", "it must hold at least one request, but has "),
        ("a,b\n1,2\n", "line 1: the columns must name lengths, as num_prefill_tokens and "),
        (VIDUR.replace("30", "0"), "line 3: num_prefill_tokens must be a whole number from 1 to"),
        (VIDUR.replace("30", "-3"), "line 3: num_prefill_tokens must be a whole number from 1 to"),
        (VIDUR.replace("30", "7.5"), "line 3: num_prefill_tokens must be a whole number from 1 to"),
        (VIDUR.replace("5\n", "nan\n"), "line 3: num_decode_tokens must be a whole number from 1"),
        (VIDUR.replace("5\n", "1e99\n"), "line 3: num_decode_tokens must be a whole number from "),
        (VIDUR.replace(",30", ""), "line 3: it must have 3 cells, not 2"),
        ('{"input_length": 1, "output_length": 2}\n{"input', "line 2: it must be JSON: "),
        ('{"input_length": 1, "output_length": 2}\n[1]', "line 2: it must be an object of JSON, "),
        ('{"input_length": 1, "output_length": true}', "line 1: output_length must be a whole "),
    ],
)
def test_tables_that_cannot_be_used(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        read_requests(text)


def test_text_is_no_table():
    assert not looks_like_a_table("Hello, world")
    assert not looks_like_a_table('{"a": 1}')
    assert not looks_like_a_table("{ once upon a time")

"""The models that the project knows by name."""

from dataclasses import dataclass

from scheduler.models.shape import Activation, ModelShape, NormKind, Positions

__all__ = ["CATALOG", "Model"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model: its shape, how it is spread over devices, and where the numbers come from.

    Attributes
    ----------
    shape
        Sizes of the whole model, before it is spread.
    tensor_parallel, pipeline_parallel
        Devices that share a layer, and groups of layers, in the evaluation of the source.
    source
        Where the numbers come from.
    """

    shape: ModelShape
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    source: str


def _gpt3(layers: int, heads: int) -> ModelShape:
    """Return a GPT-3 shape: heads of 128, an FFN of four times the width, 2048 tokens."""
    d_model = 128 * heads
    return ModelShape(
        layers=layers,
        d_model=d_model,
        heads=heads,
        kv_heads=heads,
        d_head=128,
        d_ffn=4 * d_model,
        vocabulary=50257,
        context=2048,
    )


_NEUPIMS = (
    "heads, d_model and parallelism: NeuPIMs (ASPLOS 2024), model configurations of its artefact; "
    "context and vocabulary: GPT-3, Brown et al. 2020 (arXiv 2005.14165), with GPT-2's tokens; "
)
_GPT3 = _NEUPIMS + "layers: Brown et al. 2020, table 2.1"
_OPT = _NEUPIMS + "layers: OPT of that width, Zhang et al. 2022 (arXiv 2205.01068), table 1"

#: Every model by its name.
CATALOG: dict[str, Model] = {
    "tiny-gpt": Model(
        shape=ModelShape(
            layers=2,
            d_model=64,
            heads=4,
            kv_heads=4,
            d_head=16,
            d_ffn=256,
            vocabulary=256,
            context=128,
        ),
        source="chosen; build/train_tiny.py trains it, one token a byte",
    ),
    "tiny-llama": Model(
        shape=ModelShape(
            layers=2,
            d_model=64,
            heads=4,
            kv_heads=2,
            d_head=16,
            d_ffn=192,
            vocabulary=256,
            context=128,
            norm=NormKind.RMS,
            activation=Activation.SWIGLU,
            positions=Positions.ROTARY,
            qkv_bias=False,
            projection_bias=False,
            ffn_bias=False,
            tied_head=True,
        ),
        source="chosen, in the style of Llama (Touvron et al. 2023, arXiv 2302.13971) with "
        "grouped-query attention; build/train_tiny.py trains it, one token a byte",
    ),
    "gpt3-7b": Model(shape=_gpt3(32, 32), tensor_parallel=4, source=_GPT3),
    "gpt3-13b": Model(shape=_gpt3(40, 40), tensor_parallel=4, source=_GPT3),
    "gpt3-30b": Model(shape=_gpt3(48, 56), tensor_parallel=4, pipeline_parallel=2, source=_OPT),
    "gpt3-175b": Model(shape=_gpt3(96, 96), tensor_parallel=8, pipeline_parallel=4, source=_GPT3),
}

"""What is learnt, by whom, and how: the `learning:` section of a scenario.

Data only: `wirelessfl.learning` turns it into models, data sets and gradients.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from wirelessfl.scenario.base import Config, FileHash, FileName, FolderName, MisfitError
from wirelessfl.scenario.located import suggestion
from wirelessfl.scenario.models import ModelSize, model_sizes

DIGITS_SAMPLES = 1203
"""Training samples of the digits task."""


class DigitsTask(Config):
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels: ten classes, nothing to download."""

    metrics: ClassVar[tuple[str, ...]] = ("loss", "accuracy")
    """What its evaluation measures."""

    kind: Literal["digits"] = "digits"


class NoTask(Config):
    """Nothing is learnt: the run only takes the time that learning would (no torch needed)."""

    kind: Literal["none"] = "none"
    samples: int = Field(
        DIGITS_SAMPLES, ge=1, description="Training samples of all clients together"
    )
    tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens in a sample; null is what an image gives the model, or 128 for text",
    )
    classes: int = Field(
        10, ge=2, description="Classes of the trained head (a causal language model has none)"
    )


class TextOptions(Config):
    """What all tasks of text have."""

    kind: str
    max_tokens: int = Field(
        128, ge=2, description="Tokens in a sample; what is longer is cut, or becomes several"
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the samples held out for evaluation"
    )


class PydocTask(TextOptions):
    """The documentation of Python's own standard library: the next token, nothing to download.

    A string belongs to the package it is in, for partition: {kind: natural}.
    """

    kind: Literal["pydoc"] = "pydoc"
    max_tokens: int = Field(64, ge=2, description="Tokens in a sample; what is longer is several")

    metrics: ClassVar[tuple[str, ...]] = ("loss", "perplexity")


class TestTable(Config):
    """Rows that are for evaluation only, with the same columns."""

    file: FileName = Field(
        min_length=1, description="File, relative to this one: .csv, .jsonl or .parquet"
    )
    sha256: FileHash = None


class TableTask(TextOptions):
    """Rows of a table; the columns say what is learnt.

    A text and its label: classification. A prompt and its completion, or a text alone: the next
    token, of the completion only if there is one.
    """

    kind: Literal["table"] = "table"
    file: FileName | None = Field(
        None, min_length=1, description="File, relative to this one: .csv, .jsonl or .parquet"
    )
    sha256: FileHash = None
    folder: FolderName | None = Field(
        None,
        min_length=1,
        description="Or a folder that save_to_disk of the package datasets wrote; of a dictionary "
        "the split train is learnt, and test evaluated on if there is one",
    )
    test: TestTable | None = Field(
        None, description="Rows to evaluate on; null holds out test_fraction of the others"
    )
    text: str = Field("text", description="Column of the texts, or of the prompts")
    label: str | None = Field(None, description="Column of the labels")
    completion: str | None = Field(None, description="Column of what follows the prompts")
    owner: str | None = Field(
        None, description="Column that says whose a row is, for partition: {kind: natural}"
    )

    @model_validator(mode="after")
    def _one_thing_to_learn(self) -> Self:
        if self.label is not None and self.completion is not None:
            raise ValueError("give either label or completion")
        return self

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.folder is None):
            raise ValueError("give exactly one of file and folder")
        return self

    @property
    def metrics(self) -> tuple[str, ...]:
        """What evaluation measures."""
        return ("loss", "accuracy") if self.label is not None else ("loss", "perplexity")


class TextFilesTask(TextOptions):
    """A folder of plain text, cut into blocks of tokens: the next token is learnt.

    A file belongs to one owner, for partition: {kind: natural}.
    """

    kind: Literal["text_files"] = "text_files"
    folder: FolderName = Field(min_length=1, description="Folder, relative to this file")
    pattern: str = Field("*.txt", min_length=1, description="Which files in it, UTF-8 text")

    metrics: ClassVar[tuple[str, ...]] = ("loss", "perplexity")


Task = Annotated[
    DigitsTask | PydocTask | TableTask | TextFilesTask | NoTask, Field(discriminator="kind")
]


class _Sizes(Config):
    """How many samples each client holds."""

    sizes: Literal["lognormal", "balanced"] = Field(
        "lognormal", description="Spread of the clients' data set sizes"
    )
    size_sigma: float = Field(
        0.5, gt=0, le=3, description="Standard deviation of the log of the lognormal sizes"
    )


class DirichletPartition(_Sizes):
    """Each client's class proportions are one draw of a symmetric Dirichlet(alpha)."""

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: float = Field(0.3, gt=0, description="Concentration: small is uneven, large is even")


class IidPartition(_Sizes):
    """Every client's samples are a uniform random subset."""

    kind: Literal["iid"] = "iid"


class ShardsPartition(Config):
    """Samples sorted by class are cut into equal shards, dealt out at random."""

    kind: Literal["shards"] = "shards"
    per_client: int = Field(2, ge=1, description="Shards (so at most about as many classes) each")


class NaturalPartition(Config):
    """Every client holds the samples of one owner (a package, an author, a file), or of several.

    Where there are more owners than clients, they are put together so that sizes are even.
    """

    kind: Literal["natural"] = "natural"


Partition = Annotated[
    DirichletPartition | IidPartition | ShardsPartition | NaturalPartition,
    Field(discriminator="kind"),
]


class TinyVit(Config):
    """A small Vision Transformer, pre-trained once on digits 0 to 4, then kept in a cache."""

    kind: Literal["tiny-vit"] = "tiny-vit"
    hidden: int = Field(48, ge=8, description="Width of the residual stream")
    layers: int = Field(2, ge=1, description="Transformer layers")
    heads: int = Field(4, ge=1, description="Attention heads; divides the width")
    pretrain_steps: int = Field(300, ge=1, description="Central pre-training steps of 64 images")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.hidden}")
        return self


class TinyLm(Config):
    """A small Llama with a tokenizer, pre-trained once on packages that pydoc leaves for it."""

    kind: Literal["tiny-lm"] = "tiny-lm"
    hidden: int = Field(64, ge=8, description="Width of the residual stream")
    layers: int = Field(2, ge=1, description="Transformer layers")
    heads: int = Field(4, ge=1, description="Attention heads; the width of one is even")
    vocabulary: int = Field(
        1000, ge=300, le=65536, description="Tokens: the 256 bytes, two marks, and frequent pieces"
    )
    pretrain_steps: int = Field(600, ge=1, description="Central pre-training steps of 32 samples")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden % (2 * self.heads):
            raise ValueError(
                f"{self.heads} heads do not divide a width of {self.hidden} into even parts"
            )
        return self


class HuggingFace(Config):
    """A checkpoint in Hugging Face's format: safetensors, and code of transformers itself.

    The task decides its head: classes of text (BERT, RoBERTa, DistilBERT, and decoders), the next
    token (Llama, Qwen, GPT-2 and others), or classes of images (ViT).
    """

    kind: Literal["huggingface"] = "huggingface"
    path: FolderName | None = Field(
        None, min_length=1, description="Folder of the checkpoint, relative to this file"
    )
    hub: str | None = Field(
        None, min_length=1, description="Or its name on the hub, such as owner/model"
    )
    revision: str | None = Field(None, description="Branch, tag or commit on the hub")
    allow_download: bool = Field(
        False, description="Whether what is not in the local cache may be fetched from the hub"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Numbers of the frozen weights; the adapter is float32"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("give exactly one of path and hub")
        if self.path is not None and (self.revision is not None or self.allow_download):
            raise ValueError("revision and allow_download go with hub")
        return self


class SizedModel(Config):
    """A model of which only the size matters, for `task: {kind: none}`."""

    kind: Literal["sized"] = "sized"
    name: str | None = Field(
        None, description="A size that comes with the package (`wirelessfl list models`)"
    )
    size: ModelSize | None = Field(None, description="Or the shapes of a model of your own")
    weight_bits: Literal[4, 8, 16, 32] = Field(
        16, description="Bits of a frozen weight on the device"
    )

    @model_validator(mode="after")
    def _one_known_size(self) -> Self:
        if (self.name is None) == (self.size is None):
            raise ValueError("give either name or size")
        if self.name is not None and self.name not in model_sizes():
            hint = suggestion(self.name, list(model_sizes()))
            raise MisfitError(("name",), f"{self.name!r} is not a known model; {hint}")
        return self

    @property
    def shapes(self) -> ModelSize:
        """The shapes named or given."""
        if self.size is not None:
            return self.size
        assert self.name is not None
        return model_sizes()[self.name]


Model = Annotated[TinyVit | TinyLm | HuggingFace | SizedModel, Field(discriminator="kind")]


class SketchConfig(Config):
    """Which of a module's rank-one components a client trains in a round."""

    per_module: bool = Field(
        False, description="Draw a set for each module instead of one that all modules share"
    )


class LoraConfig(Config):
    """The low-rank adapter, made by PEFT."""

    rank: int = Field(16, ge=1, description="Rank gamma of the global adapter")
    alpha: int = Field(32, ge=1, description="Updates are scaled by alpha / rank")
    rslora: bool = Field(
        False, description="Scale by alpha / sqrt(rank) instead (rank-stabilised LoRA)"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Probability that a number entering A is dropped in training"
    )
    targets: Literal["auto"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "auto", description="Linear layers to adapt by name; auto is all attention and MLP layers"
    )
    trained: Literal["auto"] | tuple[str, ...] = Field(
        "auto",
        description="Modules trained in full beside the adapter, by name; auto is the "
        "classification head, and nothing of a language model",
    )
    sketch: SketchConfig = Field(
        default_factory=SketchConfig, description="How a client's share of the rank is drawn"
    )


class LocalConfig(Config):
    """What one client does in one round: a few optimiser steps on batches of its own data."""

    steps: int = Field(5, ge=1, description="Optimiser steps per round")
    batch: int = Field(16, ge=1, description="Samples per step; a smaller client uses all it has")
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="Samples in one pass; gradients of the passes of a step are added up, which "
        "takes less memory for the same result. null is the whole batch",
    )
    optimizer: Literal["sgd", "adamw"] = Field(
        "sgd", description="Local optimiser, fresh every round"
    )
    lr: float = Field(0.3, gt=0, description="Learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="SGD momentum within the round")
    weight_decay: float = Field(
        0.0, ge=0, description="Share of lr by which AdamW shrinks what it trains, each step"
    )
    clip_norm: float | None = Field(
        1.0, gt=0, description="Largest norm of a client's gradient; null does not clip"
    )
    on_nonfinite: Literal["stop", "drop"] = Field(
        "stop",
        description="When a client's loss or update is not finite: stop the run, or drop the "
        "update as if it had been lost on the way",
    )

    @model_validator(mode="after")
    def _options_go_with_their_optimizer(self) -> Self:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError("momentum goes with optimizer: sgd")
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError("weight_decay goes with optimizer: adamw")
        return self


class PrivacyConfig(Config):
    """Differential privacy of each client towards those who see the global models.

    Updates are clipped, and Gaussian noise is added to their weighted sum by a server that is
    trusted. Whether a client took part at all is what epsilon and delta are about.
    """

    clip_norm: float = Field(
        1.0, gt=0, description="Largest norm C of a client's update; longer ones are scaled down"
    )
    noise_multiplier: float | None = Field(
        None,
        ge=0,
        description="Standard deviation of the noise over the most that one client can change the "
        "sum, C max a_n/q_n; 0 only clips",
    )
    epsilon: float | None = Field(
        None,
        gt=0,
        description="Or the epsilon that all rounds together (stop.rounds) may cost; the noise "
        "follows from it",
    )
    delta: float = Field(1e-5, gt=0, lt=1, description="Delta that epsilon goes with")
    accountant: Literal["rdp", "prv"] = Field(
        "rdp",
        description="How rounds add up: Renyi divergences, or privacy loss variables (tighter, "
        "slower); both Opacus's, for Poisson sampling",
    )

    @model_validator(mode="after")
    def _one_amount_of_noise(self) -> Self:
        if (self.noise_multiplier is None) == (self.epsilon is None):
            raise ValueError("give either noise_multiplier or epsilon")
        return self


class LearningConfig(Config):
    """The `learning:` section."""

    task: Task = Field(default_factory=DigitsTask, description="Data to learn from")
    partition: Partition = Field(
        default_factory=DirichletPartition, description="Who holds which samples"
    )
    model: Model = Field(default_factory=TinyVit, description="Frozen base model")
    lora: LoraConfig = Field(default_factory=LoraConfig, description="Trainable adapter")
    local: LocalConfig = Field(default_factory=LocalConfig, description="A client's round")
    privacy: PrivacyConfig | None = Field(
        None, description="Clipping of updates and noise on their sum; null is none"
    )
    engine: Literal["cohort", "reference"] = Field(
        "cohort", description="Clients stacked into one pass, or one after another through PEFT"
    )
    cohort_width: PositiveInt | Literal["auto"] = Field(
        10, description="Clients in one stacked pass; auto chooses by the model's activations"
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where torch computes")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16 computes most of the model in 16 bits (autocast)"
    )
    threads: int = Field(1, ge=1, description="Torch threads; results depend on this, not on OMP")

    @model_validator(mode="after")
    def _owners_are_known(self) -> Self:
        if isinstance(self.partition, NaturalPartition):
            if isinstance(self.task, NoTask):
                raise MisfitError(
                    ("partition",),
                    "of kind 'natural' depends on the data, and a timing-only run (task: "
                    "{kind: none}) has none; choose another kind, e.g. iid",
                )
            if isinstance(self.task, DigitsTask):
                raise MisfitError(
                    ("partition",), "of kind 'natural' needs owners; digits have none"
                )
            if isinstance(self.task, TableTask) and self.task.owner is None:
                raise MisfitError(
                    ("task", "owner"), "is missing; partition: {kind: natural} goes by it"
                )
        return self

    @model_validator(mode="after")
    def _only_weights_can_learn(self) -> Self:
        if isinstance(self.model, SizedModel) and not isinstance(self.task, NoTask):
            raise MisfitError(
                ("model",), "of kind 'sized' has no weights; it goes with task: {kind: none}"
            )
        if isinstance(self.model, HuggingFace) and isinstance(self.task, NoTask):
            raise MisfitError(
                ("model",),
                "of kind 'huggingface' is not opened where nothing is learnt; describe it with "
                "{kind: sized}",
            )
        if isinstance(self.model, TinyVit) and isinstance(self.task, TextOptions):
            raise MisfitError(("model",), "of kind 'tiny-vit' reads images, not text")
        if isinstance(self.model, TinyLm) and isinstance(self.task, DigitsTask):
            raise MisfitError(("model",), "of kind 'tiny-lm' reads text, not images")
        return self

"""Who holds which of a task's samples."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wirelessfl.scenario.base import Config


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

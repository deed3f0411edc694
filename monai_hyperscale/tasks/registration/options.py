"""The options of registration's training and inference."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, ClassVar, Literal, Optional, TypeVar, Union

from pydantic import Field, ValidationInfo, model_validator

from monai_hyperscale.errors import ConfigError
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.losses import RegistrationLoss
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.registration.synthetic_pairs import write_synthetic_pairs
from monai_hyperscale.training import options as kinds

_DATA = "a data set of images to register"

Kind = TypeVar("Kind", "RegistrationInferenceOptions", "RegistrationOptions")


def _check_lists(options: Kind) -> Kind:
    if options.dataset_dir is None and (options.pairs is not None or options.atlas is not None):
        raise ConfigError("pairs and atlas are of a data set; name its folder with --dataset_dir.")
    if options.pairs is not None and options.atlas is not None:
        raise ConfigError("a list of pairs names the fixed images, so an atlas cannot be given too; leave one out.")
    return options


class RegistrationInferenceOptions(kinds.InferenceOptions):
    """What an inference of a registration is asked."""

    data: ClassVar[str] = _DATA

    pairs: Optional[kinds.OneFile] = None
    atlas: Optional[str] = None
    regularization: Optional[kinds.Share] = None
    start: Annotated[Literal["header", "centres", "affine"], kinds.must_be("one of header, centres, affine")] = "header"
    instance_steps: kinds.Natural = 0

    _lists = model_validator(mode="after")(_check_lists)

    def check_network(self, network: HyperNetwork) -> None:
        if self.regularization is not None and "regularization" not in network.context:
            raise ConfigError("the network was trained for one weight of the regularisation; leave it out.")


class RegistrationOptions(kinds.TrainingOptions):
    """What a training of a registration is asked, see the bundle's documentation."""

    data: ClassVar[str] = _DATA

    pairs: Optional[kinds.OneFile] = Field(None, exclude=True)
    atlas: Optional[str] = Field(None, exclude=True)
    atlas_label: Optional[kinds.OneFile] = Field(None, exclude=True)
    regularization: Optional[kinds.Range] = None
    val_regularization: Union[None, kinds.Share, tuple[kinds.Share, ...]] = None
    sizes: Optional[kinds.Sizes] = None
    head_features: kinds.Count = 8
    integration_steps: kinds.Natural = 0
    field_scale: Annotated[float, kinds.number(0, 1, above=True)] = 0.5
    passes: kinds.Count = 2
    similarity: str = "mse"
    window: kinds.Count = 9
    smoothness: str = "bending"
    smoothness_weight: Annotated[float, kinds.number(0, 1e6)] = 0.02
    dice_weight: Annotated[float, kinds.number(0, 1e6)] = 0.0

    _lists = model_validator(mode="after")(_check_lists)

    @model_validator(mode="after")
    def _together(self, info: ValidationInfo) -> RegistrationOptions:
        if self.val_regularization is not None and self.regularization is None:
            if "regularization" not in kinds.known_later(info):
                raise ConfigError("val_regularization needs a range to train for; give --regularization [0,1] too.")
        # A 2D network sees volumes slice by slice.
        axes = (2, 3) if self.spatial_dims == 2 else (3,)
        if isinstance(self.sizes, tuple) and len(self.sizes) not in axes:
            raise ConfigError(f"sizes must be {self.spatial_dims} numbers above 0, got {list(self.sizes)}.")
        RegistrationLoss(self.similarity, self.smoothness, self.smoothness_weight, self.dice_weight, self.window)
        return self

    def settings(self) -> RegistrationSettings:
        try:
            inspect.signature(write_synthetic_pairs).bind("folder", self.spatial_dims, **self.synthetic)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"synthetic: {str(error).rstrip('.')}.") from None
        names = ("head_features", "integration_steps", "field_scale", "passes", "regularization")
        own: dict[str, Any] = {name: getattr(self, name) for name in names}
        return RegistrationSettings(**own, **self.shared_settings())

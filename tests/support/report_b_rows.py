"""Report B's Table 1 as Config values, typed from the report's rows alone by somebody who had not
seen the recipes.

The keys are the row numbers of its table. Row 24, which has the background in the loss, stands with
the other reports; row 9 is a second run of row 8, so the two are one entry with two scores. Where
the report leaves something open, the plain choices stand here.
"""

from objectives.config import (
    Adam,
    Augment,
    Config,
    InverseFrequency,
    Lion,
    Loss,
    NoClassWeights,
    NoSecondPhase,
    Plateau,
    Smp,
    SmpDecoder,
    Train,
)

Row = tuple[Config, dict[str, float]]


def focal(gamma: float) -> Loss:
    return Loss(cross_entropy=0.0, focal=1.0, focal_gamma=gamma, class_weights=NoClassWeights())


def train(*, scale: float = 1.0, repeat: int = 1, rare_repeat: int = 1) -> Train:
    return Train(
        batch_size=32,
        scale=scale,
        repeat=repeat,
        rare_repeat=rare_repeat,
        early_stopping=20,
        ema=0.0,
        gradient_clip=0.0,
    )


CW = Loss(cross_entropy=1.0, class_weights=InverseFrequency(power=1.0))
FOCAL2 = focal(2.0)
FOCAL4 = focal(4.0)
BOUNDARY = Loss(cross_entropy=0.0, boundary=1.0, class_weights=NoClassWeights())
JACCARD = Loss(cross_entropy=0.0, jaccard=1.0, class_weights=NoClassWeights())
DICE = Loss(cross_entropy=0.0, dice=1.0, class_weights=NoClassWeights())

A = Adam(learning_rate=1e-3, weight_decay=0.0)  # the optimiser of every row that does not name L
L = Lion(learning_rate=1e-4, weight_decay=0.01)

AS_IS = Augment(intensity=0.0)  # of every row that names neither FB nor M
FB = Augment(  # random flip and brightness, nothing else
    intensity=0.5,
    flip=True,
    vertical_flip=False,
    geometry=False,
    elastic=False,
    photometric=True,
    brightness=True,
    contrast=False,
    gamma=False,
    noise=False,
    blur=False,
    keep_originals=False,
    copy_paste=0.0,
)
M = Augment(  # the Albumentations pipeline, whose transforms are not stated: all of the groups
    intensity=0.5,
    flip=True,
    vertical_flip=False,
    geometry=True,
    rotation=True,
    shift=True,
    zoom=True,
    shear=True,
    elastic=True,
    elastic_waves=True,
    grid_distortion=True,
    photometric=True,
    brightness=True,
    contrast=True,
    gamma=True,
    noise=True,
    blur=True,
    keep_originals=False,
    copy_paste=0.0,
)

ONCE = train()  # of every row that names none of the next three
D = train(rare_repeat=2)  # frames with big rock twice
DD = train(repeat=2, rare_repeat=2)  # as D, and all frames twice
RS = train(scale=0.5)  # 32 x 64


def row(
    decoder: SmpDecoder,
    encoder: str,
    loss: Loss,
    hidden: float | None,
    *named: Train | Augment | Lion,
) -> Row:
    """What a row names, over the plainest training; at most one of a kind."""
    optimiser: Adam | Lion = A
    augment = AS_IS
    training = ONCE
    kinds = [type(part) for part in named]
    assert len(set(kinds)) == len(kinds), f"a row names two of a kind: {kinds}"
    for part in named:
        if isinstance(part, Train):
            training = part
        elif isinstance(part, Augment):
            augment = part
        else:
            optimiser = part
    config = Config(
        model=Smp(decoder=decoder, encoder=encoder, attention="none"),
        loss=loss,
        second_loss=NoSecondPhase(),
        augment=augment,
        optimiser=optimiser,
        schedule=Plateau(factor=0.1, patience=15),
        train=training,
    )
    return config, {} if hidden is None else {"hidden": hidden}


def second_run(first: Row, hidden: float) -> Row:
    """``first`` with the score of a second run of the same."""
    config, scores = first
    return config, {**scores, "hidden_second_run": hidden}


ROWS: dict[str, tuple[Config, dict[str, float]]] = {
    "B1": row("unetplusplus", "resnet34", CW, 47.6, L),
    "B2": row("unetplusplus", "resnet34", CW, 43.0, RS, L),
    "B3": row("unetplusplus", "resnet34", CW, 48.2, FB, L),
    "B4": row("deeplabv3plus", "resnet34", CW, 54.0, FB),
    "B6": row("deeplabv3", "resnet18", CW, 45.0),
    "B7": row("deeplabv3", "tu-efficientnet_b1", CW, 39.0),
    "B8": second_run(row("unet", "mobilenet_v2", CW, 54.4), 54.6),  # rows 8 and 9
    "B10": row("unet", "mobilenet_v2", CW, 55.9, M),
    "B12": row("unet", "mobilenet_v2", FOCAL2, 54.8),
    "B13": row("unet", "mobilenet_v2", FOCAL2, 55.5, M),
    "B14": row("segformer", "mit_b0", FOCAL2, 53.8, M),  # the report names no encoder
    "B16": row("manet", "mobileone_s4", FOCAL2, 60.7, D),
    "B17": row("unet", "mobilenet_v2", FOCAL2, 64.4, D, M),
    "B19": row("pspnet", "mobileone_s4", FOCAL2, 52.6, D, M),
    "B20": row("fpn", "mobileone_s4", FOCAL2, 51.7, D, M),
    "B21": row("unet", "mobilenet_v2", BOUNDARY, None, D),
    "B22": row("unet", "mobilenet_v2", JACCARD, None, D),
    "B23": row("unet", "mobilenet_v2", DICE, None, D),
    "B25": row("pspnet", "mobilenet_v2", FOCAL2, 54.0),
    "B26": row("deeplabv3plus", "tu-mobilenetv3_large_100", FOCAL4, 45.4, D),
    "B27": row("unet", "mobilenet_v2", FOCAL2, 50.2, DD, M),
    "B28": row("unet", "xception", CW, 64.7, DD, M),  # the report's 'X', which it does not define
    "B29": row("linknet", "dpn107", CW, 55.8, D, M),
    "B30": row("linknet", "dpn131", FOCAL4, 58.6, D, M),
    "B31": row("unet", "xception", CW, 60.1, D, M),  # 'XC'
    "B32": row("unet", "inceptionv4", CW, 63.0, D, M),  # 'XCv4'
    "B33": row("unet", "inceptionresnetv2", CW, 64.7, D, M),  # 'XCrv2'
    "B35": row("pspnet", "mobilenet_v2", FOCAL2, 63.6, D, M),
    "B36": row("unetplusplus", "mobilenet_v2", FOCAL2, 63.7, D, M),
}

# Members by their keys in ROWS (row 9 is B8), in the table's order, and the hidden score of the
# ensemble.
ENSEMBLES: dict[str, tuple[tuple[str, ...], float]] = {
    "B5": (("B3", "B4"), 56.7),
    "B11": (("B8", "B10"), 57.0),
    "B15": (("B13", "B10", "B8"), 58.5),
    "B18": (("B16", "B17"), 66.0),
    "B34": (("B31", "B32", "B33"), 65.6),
    "B37": (("B36", "B35", "B33", "B17"), 68.4),
}

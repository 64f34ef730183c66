"""Reports A, C, D and E, and row 24 of B, as configs: typed from their rows alone by somebody who
had not seen the recipes.
"""

from objectives.config import (
    SGD,
    Adam,
    AdamW,
    Augment,
    BackgroundUNet,
    Config,
    ConvStack,
    DeepLab,
    DoubleUNet,
    GivenClassWeights,
    InverseFrequency,
    Loss,
    Model,
    NestedUNet,
    NoSecondPhase,
    Optimiser,
    Plateau,
    Skip,
    Smp,
    Train,
    UNet,
)

# the system, its reported scores in percent, whether label 0 is in the loss
Row = tuple[Config, dict[str, float], bool]

ADAM = Adam(learning_rate=1e-3, weight_decay=0.0)
PLAIN_TRAINING = Train(ema=0.0)
PLATEAU = Plateau(factor=0.1, patience=15, watch="score")
CROSS_ENTROPY = Loss(cross_entropy=1.0)
FOCAL = Loss(cross_entropy=0.0, focal=1.0, focal_gamma=2.0)
DICE = Loss(cross_entropy=0.0, dice=1.0)
NO_AUGMENTATION = Augment(intensity=0.0)
FLIPS = Augment(intensity=0.5, flip=True, geometry=False, elastic=False, photometric=False)


def system(
    model: Model,
    loss: Loss = CROSS_ENTROPY,
    augment: Augment = NO_AUGMENTATION,
    optimiser: Optimiser = ADAM,
    schedule: Plateau = PLATEAU,
    train: Train = PLAIN_TRAINING,
) -> Config:
    """A system as all train unless their report says otherwise; batch size, scale, repeats and
    clipping are config's own.
    """
    return Config(
        model=model,
        loss=loss,
        second_loss=NoSecondPhase(),
        augment=augment,
        optimiser=optimiser,
        schedule=schedule,
        train=train,
    )


def scores(val: float, test: float, hidden: float, **classes: float) -> dict[str, float]:
    """Report A's three figures, and those by class."""
    return {"val": val, "test": test, "hidden": hidden, **classes}


# Report A: its best mixture for all networks; label 0 is never in the loss.

# The four classes of A5 are in label order; they are not said to be of one of the three figures,
# nor is their mean one of them.
A5_CLASSES = {"soil": 72.60, "bedrock": 54.36, "sand": 65.31, "big_rock": 3.64}
A5 = UNet(depth=3, base_filters=64, block="residual", skip="attention", up="transpose")
A6 = UNet(
    depth=3,
    base_filters=64,
    block="residual",
    skip="attention",
    up="transpose",
    bottleneck="dilated",
)
# 5 levels: 64, 128, 256, 512, 1024
A9 = NestedUNet(depth=4, base_filters=64, up="bilinear", deep_supervision=True)
A10 = NestedUNet(
    depth=3,  # 64, 128, 256 and 512 at the bottom
    base_filters=64,
    block="residual",
    fusion="gated",
    bottleneck="transformer",
    heads=4,
    up="bilinear",
    norm="group",
    deep_supervision=False,
)
# Flips, rotation, shift and zoom, originals kept.
A11_AUGMENT = Augment(
    intensity=0.5,
    flip=True,
    geometry=True,
    shear=False,
    elastic=False,
    photometric=False,
    keep_originals=True,
)
# The union of its two steps: flips, rotation, elastic; shift, scale, zoom, rotation. Big rock in 80
# % of the frames without.
A12_AUGMENT = Augment(
    intensity=0.5,
    flip=True,
    geometry=True,
    shear=False,
    elastic=True,
    photometric=False,
    keep_originals=True,
    copy_paste=0.8,
)
A11_TRAIN = Train(ema=0.0, repeat=2, rare_repeat=2)  # all twice, frames with big rock four times
A12_TRAIN = Train(ema=0.0, repeat=2, rare_repeat=2, rare_pasted=True)


def a(
    model: Model,
    reported: dict[str, float],
    augment: Augment = NO_AUGMENTATION,
    train: Train = PLAIN_TRAINING,
) -> Row:
    """A system of report A."""
    loss = Loss(cross_entropy=0.0, focal=0.8, dice=0.2, focal_gamma=2.0)
    return system(model, loss, augment, train=train), reported, False


# Report C: the same U-Net in all steps; the gate comes with the fourth.

# The digest says "(spatial-)channel" with the gate's paper, and "channel attention" elsewhere: read
# as the paper's, with both.
C_GATE: Skip = "spatial_channel_attention"
C_AUGMENT = Augment(
    intensity=0.3,
    flip=True,
    geometry=True,
    rotation=False,
    shift=True,
    zoom=True,
    shear=False,
    elastic=False,
    photometric=False,
)
C_WEIGHTED = Loss(cross_entropy=1.0, class_weights=InverseFrequency(power=1.0))
C0 = UNet(depth=4, base_filters=32, kernel_size=3)
C1 = UNet(depth=4, base_filters=32, kernel_size=3, skip=C_GATE)
C2_SQUEEZE = UNet(
    depth=4, base_filters=32, kernel_size=3, skip=C_GATE, bottleneck="squeeze_excitation"
)
C2_RESIDUAL = UNet(depth=4, base_filters=32, kernel_size=3, skip=C_GATE, bottleneck="residual")


def c(model: Model, **reported: float) -> Row:
    """A system of report C as its fourth step trains: weights without the background, light
    transforms.
    """
    return system(model, C_WEIGHTED, C_AUGMENT), reported, False


# Report D: early stopping and plateau on the validation loss; hidden scores only.

D1 = UNet(depth=2, base_filters=32)
D2 = UNet(depth=3, base_filters=32, bottleneck="dilated_sequence_squeeze_excitation")
D4 = UNet(depth=3, base_filters=32, bottleneck="dilated_sequence_squeeze_excitation", dropout=0.2)
D_WEIGHTED = Loss(
    cross_entropy=1.0, class_weights=GivenClassWeights(values=(0.0, 1.0, 1.0, 1.0, 2.0))
)


def d(
    model: Model,
    hidden: float,
    augment: Augment = FLIPS,
    loss: Loss = D_WEIGHTED,
    decay: float = 0.0,
) -> Row:
    """A system of report D."""
    optimiser = Adam(learning_rate=1e-3, weight_decay=decay)
    schedule = Plateau(factor=0.1, patience=15, watch="loss")
    train = Train(ema=0.0, early_stopping=20, stop_on="loss")
    return system(model, loss, augment, optimiser, schedule, train), {"hidden": hidden}, False


# Report E: flips and early stopping in all.

E_ADAMW = AdamW(learning_rate=1e-3, weight_decay=0.01)
E_SGD = SGD(learning_rate=0.05, weight_decay=1e-4, momentum=0.9)
E1 = UNet(depth=4, base_filters=32, norm="batch", up="transpose")
E2 = UNet(
    depth=4, base_filters=32, norm="batch", up="transpose", skip="gated", deep_supervision=True
)
E3 = BackgroundUNet(depth=4, base_filters=32, mask_filters=8)


def e(
    model: Model,
    reported: dict[str, float],
    optimiser: Optimiser = E_ADAMW,
    loss: Loss = CROSS_ENTROPY,
    background: bool = False,
) -> Row:
    """A system of report E."""
    train = Train(ema=0.0, early_stopping=30, stop_on="score")
    return system(model, loss, FLIPS, optimiser, train=train), reported, background


# Report B, row 24: D alone, so frames with big rock twice and no transforms.
B24 = system(
    Smp(decoder="unet", encoder="mobilenet_v2"),
    FOCAL,
    train=Train(ema=0.0, rare_repeat=2, early_stopping=20),
)

ROWS: dict[str, Row] = {
    "A1": a(ConvStack(depth=0), scores(15.12, 13.68, 13.84)),
    "A2": a(
        ConvStack(depth=3, base_filters=64, growth=2.0, kernel_size=3), scores(38.48, 38.64, 38.65)
    ),
    "A3": a(UNet(depth=2, base_filters=32, up="nearest"), scores(51.80, 50.16, 52.93)),
    "A4": a(UNet(depth=3, base_filters=32, up="transpose"), scores(59.45, 58.91, 59.29)),
    "A5": a(A5, scores(65.09, 65.80, 65.73, **A5_CLASSES)),
    "A6": a(A6, scores(62.00, 62.19, 62.35)),
    "A7": a(DoubleUNet(depth=3, base_filters=32, layers=1, heads=4), scores(59.49, 59.51, 59.49)),
    "A8": a(DeepLab(depth=2, base_filters=32, rate=6), scores(54.39, 56.37, 56.18)),
    "A9": a(A9, scores(60.45, 62.88, 62.56)),
    "A10": a(A10, scores(59.96, 61.89, 60.07, big_rock=12.04)),
    "A11": a(A5, {}, A11_AUGMENT, A11_TRAIN),
    "A12": a(A5, {}, A12_AUGMENT, A12_TRAIN),
    "B24": (B24, {"hidden": 36.3}, True),
    "C0 plain": (system(C0), {"val": 39.65, "hidden": 39.94}, True),
    "C0 weighted": (
        system(C0, C_WEIGHTED),
        {"val": 48.06, "hidden": 50.18, "hidden_after_search": 51.0},
        True,
    ),
    "C0 background out": (system(C0, C_WEIGHTED), {"val": 70.46, "hidden": 60.18}, False),
    "C1": c(C1, val=72.46, hidden=70.66),
    "C2 squeeze-excitation": c(C2_SQUEEZE),
    "C2 residual": c(C2_RESIDUAL),
    "C2 resnet34": c(Smp(decoder="unet", encoder="resnet34", attention="scse")),
    "C2 vgg16": c(Smp(decoder="unet", encoder="vgg16", attention="scse")),
    "D1": d(D1, 44.6, NO_AUGMENTATION, CROSS_ENTROPY),
    "D2": d(D2, 49.6, FLIPS, CROSS_ENTROPY),
    "D3": d(D2, 61.5),
    "D4": d(D4, 68.7, decay=1e-4),
    "E0 focal": e(E1, {"val": 39.51}, loss=FOCAL, background=True),
    "E0 dice": e(E1, {"val": 42.98}, loss=DICE, background=True),
    "E0 cross-entropy": e(E1, {"val": 43.89}, background=True),
    "E1": e(E1, {"val": 64.39, "val_all_data": 69.63, "hidden_all_data": 64.615}),
    "E1 sgd": e(E1, {"val": 62.09}, optimiser=E_SGD),
    "E2": e(E2, {}),
    "E3": e(E3, {"val": 63.66}),
}

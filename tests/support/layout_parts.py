"""Odd words for data.yaml and splits.csv."""

LAYOUTS = [
    "images: images/{path}.*\nmasks: masks/{path}.*\n",
    "images: images/{stem}.png\nmasks: masks/{stem}.png\nchannels: rgb\nwithout_mask: drop\n",
    "images: 'images/{stem}.*'\nmasks: 'masks/{stem}_{class}.*'\noverlap: smallest\nthreshold: 9\n",
    "images: ['images/{stem}.png', 'masks/{stem}.png']\nmasks: 'masks/{stem}.*'\nno_data: ignored\n",
    "root: .\nimages: '{part}/{stem}.png'\nmasks: '{group}/{object}{stem}.png'\nrange: [0, 255]\n",
    "images: images/{path}.*\nmasks: masks/{path}.*\nparts: {train: a.txt, val: [b.txt]}\n",
    "images: images/{path}.*\nmasks: masks/{path}.*\nparts: splits.csv\nwithout_mask: background\n",
    "table: groups.csv\nimages: file\nmasks: group\nwithout_mask: background\n",
    "npz: a.npz\nimages: 'x_{part}'\nmasks: 'y_{part}'\naxes: NCHW\n",
]
LAYOUT_PARTS = [
    *("{stem}", "{path}", "{part}", "{group}", "{class}", "{object}", "{", "}", "{}", "*", ".*"),
    *(
        "/",
        "//",
        "..",
        "~",
        "\\",
        "images/",
        "masks/",
        "images: ",
        "masks: ",
        "root: /\n",
        "x: y\n",
    ),
    *("[", "]", ", ", "'", "range: [nan, 1]\n", "range: [.inf, 1]\n", "range: [1e-400, 9e999]\n"),
    *("parts: groups.csv\n", "parts: []\n", "parts: {train: /dev/zero}\n", "root: /proc\n"),
    *("threshold: 70000\n", "channels: grey\n", "no_data: ignored\n", "overlap: [later]\n"),
    *("without_mask: background\n", "table: '{part}.csv'\n", "npz: .\n", "\0", "é", "*a", "&a "),
]
SPLITS = [
    "file,part\n" + "".join(f"f{number:02d}.png,train\n" for number in range(9)) + "f11,test\n",
    "file;part\nf00.png;val\n",
]
SPLIT_PARTS = ["train", "val", "test", "dev", ",", ";", "\n", "f00.png", '"', "part", "file", "\0"]

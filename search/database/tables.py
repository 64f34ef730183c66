"""Our own tables, beside Optuna's in the same database."""

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
)

METADATA = MetaData()

META = Table(
    "search_meta",  # one row
    METADATA,
    # of these tables: `schema.py` has the steps from each to the next
    Column("version", Integer, primary_key=True, autoincrement=False),
    # the oldest version whose programs may still work on them
    Column("oldest", Integer, nullable=False),
)

STUDY = Table(
    "search_study",
    METADATA,
    Column("study_id", Integer, primary_key=True, autoincrement=False),  # Optuna's
    Column("spec", JSON, nullable=False),
    Column("trials", Integer, nullable=False),  # the budget
    # the budget in seconds on a device; 0: none
    Column("gpu_s", Float, nullable=False, server_default="0"),
    # from the first claim; 0: no deadline
    Column("until_s", Float, nullable=False, server_default="0"),
    # or paused, stopped: what `search pause` and so on said
    Column("state", String, nullable=False, server_default="running"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True)),  # the first claim: --until counts from here
    Column("test_looks", Integer, nullable=False, server_default="0"),
)

LEASE = Table(
    "search_lease",
    METADATA,
    Column("trial_id", Integer, primary_key=True, autoincrement=False),  # Optuna's
    # the worker's id; empty once it has given the trial back
    Column("owner", String, nullable=False),
    Column("fence", BigInteger, nullable=False),  # rises with every claim
    Column("expires_at", DateTime(timezone=True), nullable=False),  # by the database's clock
    # CPU threads of the first claim: a resume repeats them
    Column("threads", Integer, nullable=False),
    # the workers whose process for this trial died, or stood still: one entry for each time
    Column("crashed_by", ARRAY(String), nullable=False, server_default="{}"),
    Column("hung_by", ARRAY(String), nullable=False, server_default="{}"),
    # owners that were gone, since the last checkpoint
    Column("vanished", Integer, nullable=False, server_default="0"),
    Column("spent_s", Float, nullable=False, server_default="0"),  # on a device, over all claims
    Column(
        "renewed_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()
    ),
)

CHECKPOINT = Table(
    "search_checkpoint",
    METADATA,
    Column("trial_id", Integer, primary_key=True, autoincrement=False),
    # "last": the whole training state, "best": the scored weights, and the pair before them, should
    # these be damaged
    Column("kind", String, primary_key=True),
    Column("blob", String, nullable=False),  # SHA-256 of the bytes
    Column("epoch", Integer, nullable=False),
    Column("score", Float, nullable=False),
)

# beside Optuna's intermediate values, which are the scores; written with them
EPOCH = Table(
    "search_epoch",
    METADATA,
    Column("trial_id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    # the study's measure by class, in the order of labels; NaN of one that does not occur
    Column("measured", ARRAY(Float), nullable=False),
    # NaN where weights are too far off to say
    Column("soft_score", Float, nullable=False),
    Column("balanced_nll", Float, nullable=False),
    Column("seconds", Float, nullable=False),
)

WORKER = Table(
    "search_worker",
    METADATA,
    Column("id", String, primary_key=True),
    Column("study_id", Integer, nullable=False, index=True),
    Column("host", String, nullable=False),  # boot id: containers of one host share it
    Column("name", String, nullable=False),  # host name and process id, for people
    Column("device", String, nullable=False),  # "cpu" or a GPU's uuid
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True)),
    # of so many slots of that GPU the one that it has claimed; of none, where the GPU is not divided
    Column("slot", Integer, nullable=False, server_default="0"),
    Column("slots", Integer, nullable=False, server_default="0"),
    # whether MPS ran on its host when it was seen last
    Column("mps", Boolean, nullable=False, server_default="false"),
    # the version of its program; empty: not known
    Column("program", Text, nullable=False, server_default=""),
)

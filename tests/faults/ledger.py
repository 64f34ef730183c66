"""Who wrote what for which trial, noted by the database itself: each worker is a user of its own
there.

Triggers keep the ledger. So "it writes nothing afterwards" is not concluded from what a worker
says: a row would show it.
"""

from dataclasses import dataclass, field

from scene import Scene, Worker

from search.study.record import BELIEVED

TABLES = (
    "trials", "trial_values", "trial_intermediate_values", "trial_params", "trial_user_attributes", "trial_system_attributes",
    "search_checkpoint",
)  # fmt: skip
WRITERS = 40  # users, one for each worker of a scene

MAKE = """
    CREATE TABLE ledger (number serial, at timestamptz DEFAULT clock_timestamp(), who text DEFAULT session_user,
                         what text, trial_id int, owner text DEFAULT '');
    CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO ledger (what, trial_id) VALUES (TG_OP || ' ' || TG_TABLE_NAME, NEW.trial_id); RETURN NULL; END $$;
    CREATE FUNCTION note_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'INSERT' OR NEW.owner <> OLD.owner OR NEW.fence <> OLD.fence THEN
            INSERT INTO ledger (what, trial_id, owner) VALUES ('claim', NEW.trial_id, NEW.owner); END IF;
        RETURN NULL; END $$;
    CREATE TRIGGER noted AFTER INSERT OR UPDATE ON search_lease FOR EACH ROW EXECUTE FUNCTION note_claim();
"""
NOTE = (
    "CREATE TRIGGER noted AFTER INSERT OR UPDATE ON {table} FOR EACH ROW {but} EXECUTE FUNCTION "
    "note_write()"
)
# what all runs together say of a trial is written by whoever has ended one: see `believe`
BUT = {
    "trial_user_attributes": f"WHEN (NEW.key NOT IN ({', '.join(map(repr, BELIEVED))}))",
}


@dataclass
class Ledger:
    """The ledger of a scene whose study is written; start its workers here."""

    scene: Scene
    users: dict[int, str] = field(default_factory=dict)  # by process id

    def __post_init__(self) -> None:
        for number in range(WRITERS):
            self.scene.query(f"CREATE ROLE writer{number} SUPERUSER LOGIN")
        self.scene.query(MAKE)
        for table in TABLES:
            self.scene.query(NOTE.format(table=table, but=BUT.get(table, "")))

    def start(self, *words: str, port: int = 0) -> Worker:
        """Start a worker under its own name, behind another port if one is given."""
        user = f"writer{len(self.users)}"
        url = self.scene.server.url_at(port or self.scene.server.port).replace(
            "postgres@", f"{user}@"
        )
        worker = self.scene.start(*words, url=url)
        self.users[worker.pid] = user
        return worker

    def writes(self, worker: Worker) -> int:
        """How much a worker has written for trials so far, claims not counted."""
        asked = (
            f"SELECT count(*) FROM ledger WHERE who = '{self.users[worker.pid]}' AND what <> "
            f"'claim'"
        )
        return int(self.scene.query(asked)[0][0])

    def trespasses(self) -> list[str]:
        """Every write for a trial by somebody else than its holder of that moment.

        Before its first claim a trial has no holder: then whoever creates it writes. Rows are
        numbered in the order in which they were written; one whose transaction failed is not there.
        """
        found, holder = list[str](), dict[int, str]()
        for number, who, what, trial_id, owner in self.scene.query(
            "SELECT number, who, what, trial_id, owner FROM ledger ORDER BY 1"
        ):
            if what == "claim":
                holder[trial_id] = who if owner else "nobody"
            elif holder.get(trial_id, who) != who:
                found.append(
                    f"write {number}: {who} did {what} for trial id {trial_id} of "
                    f"{holder[trial_id]}"
                )
        return found

-- Our tables as the revision 1ef228e made them, before they had versions, by pg_dump; with the row of a
-- study that it wrote, and the lease of a trial whose process has died twice.

CREATE TABLE public.search_checkpoint (
    trial_id integer NOT NULL,
    kind character varying NOT NULL,
    blob character varying NOT NULL,
    epoch integer NOT NULL,
    score double precision NOT NULL
);

CREATE TABLE public.search_lease (
    trial_id integer NOT NULL,
    owner character varying NOT NULL,
    fence bigint NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    threads integer NOT NULL,
    crashes integer DEFAULT 0 NOT NULL,
    hangs integer DEFAULT 0 NOT NULL,
    vanished integer DEFAULT 0 NOT NULL,
    spent_s double precision DEFAULT '0'::double precision NOT NULL,
    renewed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.search_study (
    study_id integer NOT NULL,
    spec json NOT NULL,
    trials integer NOT NULL,
    gpu_s double precision DEFAULT '0'::double precision NOT NULL,
    until_s double precision DEFAULT '0'::double precision NOT NULL,
    state character varying DEFAULT 'running'::character varying NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    test_looks integer DEFAULT 0 NOT NULL
);

CREATE TABLE public.search_worker (
    id character varying NOT NULL,
    study_id integer NOT NULL,
    host character varying NOT NULL,
    name character varying NOT NULL,
    device character varying NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone
);

ALTER TABLE ONLY public.search_checkpoint
    ADD CONSTRAINT search_checkpoint_pkey PRIMARY KEY (trial_id, kind);

ALTER TABLE ONLY public.search_lease
    ADD CONSTRAINT search_lease_pkey PRIMARY KEY (trial_id);

ALTER TABLE ONLY public.search_study
    ADD CONSTRAINT search_study_pkey PRIMARY KEY (study_id);

ALTER TABLE ONLY public.search_worker
    ADD CONSTRAINT search_worker_pkey PRIMARY KEY (id);

CREATE INDEX ix_search_worker_study_id ON public.search_worker USING btree (study_id);

INSERT INTO public.search_study (study_id, spec, trials, gpu_s, until_s, state, created_at, started_at, test_looks) VALUES (1, '{"name": "small", "source": "synthetic:40", "size": null, "min_identical": 10, "min_labelled": 0.0, "max_deviation": 0.0, "ignore": "", "scored": [], "score": "mean IoU of soil, bedrock, sand, big_rock, pixels of background left out", "data_fingerprint": "89ba457cb2a5ad48b423e725c074ff28b8dbe3f4c1e45d85bc191c66b7fc1219", "space": {"domains": {"model.kind": "unet", "model.depth": 2, "model.base_filters": {"choice": [4, 6, 8]}, "model.dropout": {"float": [0.0, 0.2]}, "loss.cross_entropy": {"weight": "always"}, "loss.focal": 0.0, "loss.dice": {"weight": "optional"}, "loss.generalised_dice": 0.0, "loss.tversky": 0.0, "loss.unified_focal": 0.0, "loss.jaccard": 0.0, "loss.boundary": 0.0, "loss.class_weights.kind": "inverse_frequency", "loss.class_weights.power": {"float": [0.0, 0.6]}, "second_loss.kind": "none", "augment.intensity": {"float": [0.0, 0.6]}, "optimiser.kind": "adamw", "optimiser.learning_rate": {"float": [0.0002, 0.03], "log": true}, "schedule.kind": "one_cycle", "train.epochs": 8, "train.batch_size": {"choice": [8, 16]}, "train.scale": 0.5, "train.rare_repeat": {"int": [1, 2]}, "train.ema": 0.9, "model.growth": 2.0, "model.kernel_size": 3, "model.block": "plain", "model.skip": "concat", "model.up": "transpose", "model.bottleneck": "plain", "model.norm": "batch", "model.deep_supervision": false, "loss.focal_gamma": 2.0, "loss.tversky_alpha": 0.3, "loss.unified_delta": 0.6, "loss.unified_gamma": 0.5, "augment.flip": true, "augment.vertical_flip": false, "augment.geometry": true, "augment.shear": true, "augment.elastic": false, "augment.photometric": true, "augment.copy_paste": 0.0, "augment.copy_paste_edge": "feathered", "optimiser.weight_decay": 0.01, "schedule.warmup": 0.3, "train.steps_per_epoch": 0, "train.early_stopping": 0, "train.bf16": true, "train.gradient_clip": 0.0}, "control": {"loss.dice.on": true, "loss.cross_entropy.weight": 1.0, "loss.dice.weight": 0.4285714285714286, "model.base_filters": 8, "model.dropout": 0.0, "loss.class_weights.power": 0.3, "augment.intensity": 0.3, "optimiser.learning_rate": 0.008, "train.batch_size": 16, "train.rare_repeat": 2}}, "space_fingerprint": "b236fb86ad5256c56c776cf8574952bcebeedff17ff93a0cd4739d0322f5df84", "trials": 4, "until_s": 0.0, "gpu_s": 0.0, "seed": 0, "recipes": [], "recipe_filters": 1.0, "confirm": {"study": "", "seeds": 0, "resplit": true, "everything": false, "seed": 0, "scores": [], "candidates": []}, "objective_version": "4", "optuna": "5"}', 4, 0, 0, 'running', now(), NULL, 0);

INSERT INTO public.search_lease (trial_id, owner, fence, expires_at, threads, crashes)
    VALUES (1, 'w', 3, now(), 1, 2);

-- +goose Up
-- Times are nanoseconds since 1970 UTC, NULL for "not known". What comes from
-- outside is bytea, read as text by convert_from(column, 'UTF8'): it may hold any
-- bytes, and sorts by byte.
--
-- An entry of an index has at most 2704 bytes, and paths may be longer. So their
-- indexes hold the first 1024 bytes, by which they sort, and where one must be
-- unique a digest of the longer ones.
CREATE TABLE jobs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      bytea NOT NULL,
    destination bytea NOT NULL,
    started     bigint,
    finished    bigint
);

CREATE UNIQUE INDEX jobs_by_ends ON jobs (sha256(source), sha256(destination));

-- Which run has the job, until when by this server's clock.
CREATE TABLE claims (
    job   bigint PRIMARY KEY REFERENCES jobs (id),
    token bytea NOT NULL,
    until timestamptz NOT NULL
);

CREATE TABLE files (
    job       bigint  NOT NULL REFERENCES jobs (id),
    path      bytea   NOT NULL,
    target    bytea   NOT NULL,
    phase     text    NOT NULL,
    size      bigint  NOT NULL,
    modtime   bigint,
    precision bigint  NOT NULL,
    mdtm      bigint,
    seen      bigint,
    token     bytea   NOT NULL,
    "offset"  bigint  NOT NULL,
    ranges    text    NOT NULL,
    sha256    bytea,
    verdict   bytea   NOT NULL,
    reason    bytea   NOT NULL,
    retry     boolean NOT NULL,
    tries     bigint  NOT NULL,
    updated   bigint,
    after     bytea   NOT NULL
);

CREATE UNIQUE INDEX files_by_path ON files
    (job, substr(path, 1, 1024), (CASE WHEN length(path) > 1024 THEN sha256(path) ELSE ''::bytea END));
CREATE INDEX files_by_phase ON files (job, phase, substr(path, 1, 1024));
CREATE INDEX files_by_target ON files (substr(target, 1, 1024));

CREATE TABLE publications (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target     bytea  NOT NULL,
    job        bigint NOT NULL REFERENCES jobs (id),
    source     bytea  NOT NULL,
    size       bigint NOT NULL,
    sha256     bytea  NOT NULL,
    verdict    bytea  NOT NULL,
    reason     bytea  NOT NULL,
    provenance bytea,
    published  bigint,
    removed    bigint
);

CREATE INDEX publications_by_target ON publications (substr(target, 1, 1024), id);

-- What became of the latest runs of each job; the highest id is the newest. once
-- tells a write that is sent again, because its answer was lost, from a new one.
CREATE TABLE runs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    once        bytea  NOT NULL UNIQUE,
    job         bigint NOT NULL REFERENCES jobs (id),
    started     bigint,
    finished    bigint,
    result      text   NOT NULL,
    error       bytea  NOT NULL,
    published   bigint NOT NULL,
    unchanged   bigint NOT NULL,
    held        bigint NOT NULL,
    failed      bigint NOT NULL,
    removed     bigint NOT NULL,
    fetched     bigint NOT NULL,
    nanoseconds bigint NOT NULL
);

CREATE INDEX runs_by_job ON runs (job, id);

-- What was accepted of each piece of signed evidence; the highest id of a name is
-- the newest.
CREATE TABLE generations (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    once   bytea NOT NULL,
    source bytea NOT NULL,
    name   bytea NOT NULL,
    sha256 bytea NOT NULL,
    date   bigint,
    seen   bigint
);

CREATE INDEX generations_by_name ON generations (sha256(source), sha256(name), id);

-- The bytes of manifests and signatures. used grows with every use; the lowest
-- goes first when room is needed.
CREATE TABLE evidence_bytes (
    sha256 bytea  PRIMARY KEY,
    used   bigint GENERATED ALWAYS AS IDENTITY,
    data   bytea  NOT NULL
);

CREATE INDEX evidence_bytes_by_use ON evidence_bytes (used);

-- One line: the sum of their lengths. Who changes them locks it first.
CREATE TABLE evidence_total (
    bytes bigint NOT NULL
);
INSERT INTO evidence_total (bytes) VALUES (0);

-- The latest of each name, by the SHA-256 of its parts.
CREATE TABLE evidence (
    source    bytea NOT NULL,
    name      bytea NOT NULL,
    manifest  bytea,
    signature bytea,
    seen      bigint
);

CREATE UNIQUE INDEX evidence_by_name ON evidence (sha256(source), sha256(name));

-- hold_claim fails with SQLSTATE GW001 unless the claim is still the run's, and
-- keeps it so until the transaction ends.
-- +goose StatementBegin
CREATE FUNCTION hold_claim(of_job bigint, by_token bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM claims WHERE job = of_job AND token = by_token FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the claim of job % was lost', of_job USING ERRCODE = 'GW001';
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION hold_claim;
DROP TABLE evidence, evidence_total, evidence_bytes, generations, runs, publications, files, claims, jobs;

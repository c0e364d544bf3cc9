-- +goose Up
-- What a job does with a file on the source once it is published: '' for nothing.
ALTER TABLE files ADD COLUMN after TEXT NOT NULL DEFAULT '';

-- When the file was taken away because it had gone from the source; NULL: it was not.
ALTER TABLE publications ADD COLUMN removed INTEGER;

-- What became of the latest runs of each job; the highest id is the newest.
CREATE TABLE runs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    job         INTEGER NOT NULL REFERENCES jobs (id),
    started     INTEGER,
    finished    INTEGER,
    result      TEXT    NOT NULL,
    error       TEXT    NOT NULL,
    published   INTEGER NOT NULL,
    unchanged   INTEGER NOT NULL,
    held        INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    removed     INTEGER NOT NULL,
    fetched     INTEGER NOT NULL,
    nanoseconds INTEGER NOT NULL
) STRICT;

CREATE INDEX runs_by_job ON runs (job, id);

-- +goose Down
DROP TABLE runs;
ALTER TABLE publications DROP COLUMN removed;
ALTER TABLE files DROP COLUMN after;

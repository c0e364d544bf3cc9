-- +goose Up
-- Times are nanoseconds since 1970 UTC, NULL for "not known". Paths are raw
-- bytes of the source and therefore BLOBs; they sort by byte.
CREATE TABLE jobs (
    id          INTEGER PRIMARY KEY,
    source      TEXT NOT NULL,
    destination TEXT NOT NULL,
    started     INTEGER,
    finished    INTEGER,
    UNIQUE (source, destination)
) STRICT;

CREATE TABLE files (
    job       INTEGER NOT NULL REFERENCES jobs (id),
    path      BLOB    NOT NULL,
    target    TEXT    NOT NULL,
    phase     TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    modtime   INTEGER,
    precision INTEGER NOT NULL,
    mdtm      INTEGER,
    seen      INTEGER,
    token     TEXT    NOT NULL,
    "offset"  INTEGER NOT NULL,
    sha256    BLOB,
    verdict   TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    retry     INTEGER NOT NULL,
    tries     INTEGER NOT NULL,
    updated   INTEGER,
    PRIMARY KEY (job, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX files_by_phase ON files (job, phase, path);
CREATE INDEX files_by_target ON files (target, updated);

CREATE TABLE publications (
    id         INTEGER PRIMARY KEY,
    target     TEXT    NOT NULL,
    job        INTEGER NOT NULL REFERENCES jobs (id),
    source     TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    sha256     BLOB    NOT NULL,
    verdict    TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    provenance BLOB,
    published  INTEGER
) STRICT;

CREATE INDEX publications_by_target ON publications (target, id);

-- +goose Down
DROP TABLE publications;
DROP TABLE files;
DROP TABLE jobs;

-- +goose Up
-- What was accepted of each piece of signed evidence; the highest id of a name
-- is the newest.
CREATE TABLE generations (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    name   TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    date   INTEGER,
    seen   INTEGER
) STRICT;

CREATE INDEX generations_by_name ON generations (source, name, id);

-- The bytes of manifests and signatures. used grows with every use; the lowest
-- goes first when room is needed.
CREATE TABLE evidence_bytes (
    used   INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 BLOB NOT NULL UNIQUE,
    data   BLOB NOT NULL
) STRICT;

-- One line: the sum of their lengths.
CREATE TABLE evidence_total (
    bytes INTEGER NOT NULL
) STRICT;
INSERT INTO evidence_total (bytes) VALUES (0);

-- The latest of each name, by the SHA-256 of its parts.
CREATE TABLE evidence (
    source    TEXT NOT NULL,
    name      TEXT NOT NULL,
    manifest  BLOB,
    signature BLOB,
    seen      INTEGER,
    PRIMARY KEY (source, name)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE evidence;
DROP TABLE evidence_total;
DROP TABLE evidence_bytes;
DROP TABLE generations;

-- +goose Up
-- Write locks; timeout in nanoseconds.
CREATE TABLE locks (
    token    TEXT    NOT NULL PRIMARY KEY,
    root     TEXT    NOT NULL,
    infinite INTEGER NOT NULL,
    shared   INTEGER NOT NULL,
    user     TEXT    NOT NULL,
    owner    TEXT    NOT NULL,
    timeout  INTEGER NOT NULL,
    expires  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX locks_by_root ON locks (root);
CREATE INDEX locks_by_expiry ON locks (expires);

-- Failed logins by network: when the last one was, until when it is banned (NULL:
-- it is not), and when nothing of it counts any more.
CREATE TABLE failures (
    network TEXT    NOT NULL PRIMARY KEY,
    count   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    banned  INTEGER,
    forget  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX failures_by_end ON failures (forget);
CREATE INDEX failures_by_ban ON failures (banned) WHERE banned IS NOT NULL;

-- What was ever added under a user's quota, and what its holders reserve.
CREATE TABLE quotas (
    user  TEXT    NOT NULL PRIMARY KEY,
    added INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE reservations (
    user     TEXT    NOT NULL,
    holder   TEXT    NOT NULL,
    reserved INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    PRIMARY KEY (user, holder)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE reservations;
DROP TABLE quotas;
DROP TABLE failures;
DROP TABLE locks;

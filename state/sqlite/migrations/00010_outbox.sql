-- +goose Up
-- What hooks are to be told. Due is when it is tried next.
CREATE TABLE outbox (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    hook    TEXT    NOT NULL,
    payload BLOB    NOT NULL,
    created INTEGER NOT NULL,
    due     INTEGER NOT NULL,
    tries   INTEGER NOT NULL,
    error   TEXT    NOT NULL,
    dead    INTEGER NOT NULL
) STRICT;

CREATE INDEX outbox_waiting ON outbox (hook, id) WHERE dead = 0;
CREATE INDEX outbox_dead ON outbox (id) WHERE dead = 1;

-- Who delivers to a hook, until when, and before when nobody does.
CREATE TABLE hooks (
    hook   TEXT    NOT NULL PRIMARY KEY,
    holder TEXT    NOT NULL,
    until  INTEGER NOT NULL,
    pause  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE hooks;
DROP TABLE outbox;
